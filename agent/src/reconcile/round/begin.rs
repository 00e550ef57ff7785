//! Beginning the plan's steps, and writing down what is to be remembered.

use std::sync::Arc;

use holdfast_plan::current::Current;
use holdfast_plan::plan::{Action, Input, Plan, Reason, plan};
use holdfast_plan::policy::Policy;

use super::super::execute;
use super::super::failures::{self, Cause};
use super::super::space::Disk;
use super::Reconciler;
use crate::store::Change;

impl Reconciler {
    /// Starts the plan's steps. Returns whether memory changed, so that another look is due at once.
    pub(super) async fn start(&mut self, plan: &Plan, disk: &Disk) -> bool {
        for key in &plan.cancel {
            self.running.cancel(key);
        }
        let wall_ms = self.tools.clock.now().wall_ms;
        let mut remember = Vec::new();
        for step in &plan.steps {
            match execute::memory_only(&step.action) {
                Some(change) => remember.push(change),
                None => {
                    self.announcer.begins(step, wall_ms);
                    self.running.start(step.clone(), &self.tools, disk);
                }
            }
        }
        if remember.is_empty() {
            return false;
        }
        let changes = remember.iter().cloned().map(Change::Remember).collect();
        if self.commit(changes).await {
            remember.iter().for_each(|change| self.memory.apply(change));
            plan.steps.iter().for_each(|step| self.announcer.remembered(step, wall_ms));
            return true;
        }
        // The store says why; what was to be remembered is tried again like any failed step.
        let error = self.store_error.clone().unwrap_or_default();
        let now = self.tools.clock.now().boot_ms;
        for step in plan.steps.iter().filter(|step| execute::memory_only(&step.action).is_some()) {
            let cause = Cause { error: error.clone(), no_space: false };
            failures::record(&mut self.memory.failures, &step.key(), cause, now, self.tools.max_retry);
        }
        true
    }

    /// Starts the containers that were stopped for a copy, and does nothing else.
    pub(super) async fn start_held(&mut self) {
        let Ok(engine) = self.tools.engine.observe().await else { return };
        let (current, now) = (Current { engine, ..Current::default() }, self.tools.clock.now());
        let target = self.target.as_ref().map_or_else(Arc::default, |t| t.target.clone());
        let (facts, policy) = (self.facts(), Policy::default());
        let mut plan =
            plan(&Input { current: &current, target: &target, memory: &self.memory, facts: &facts, policy: &policy, now });
        plan.cancel.clear();
        plan.steps.retain(|step| step.why == Reason::HoldOver && matches!(step.action, Action::Start { .. }));
        self.start(&plan, &Disk { data_root: None, watermark: policy.disk_watermark }).await;
    }

    pub(in super::super) async fn commit(&mut self, changes: Vec<Change>) -> bool {
        let wall_ms = self.tools.clock.now().wall_ms;
        match self.tools.store.commit(changes).await {
            Ok(()) => {
                self.announcer.fault("database", None, wall_ms);
                self.store_error = None;
                true
            }
            Err(error) => {
                let message = format!("{error}; containers go on, the agent keeps trying");
                self.announcer.fault("database", Some(&message), wall_ms);
                self.store_error = Some(error.to_string());
                false
            }
        }
    }
}
