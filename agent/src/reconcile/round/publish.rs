//! What the loop shows to everybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_plan::contract;
use holdfast_plan::current::Current;
use holdfast_plan::facts::Facts;
use holdfast_plan::plan::Plan;
use holdfast_plan::policy::Policy;
use holdfast_plan::target::{AppUuid, DeviceTarget};

use super::super::{Fault, Phase, View};
use super::Reconciler;
use super::observe::LOCKS;

impl Reconciler {
    pub(super) fn publish(&mut self, current: Current, target: Arc<DeviceTarget>, facts: Facts, policy: Policy, plan: Plan) {
        let phase = match (&policy.watch_only, &self.target) {
            (Some(why), _) => Phase::WatchOnly { why: why.clone() },
            (None, None) => Phase::NoTarget,
            _ if !self.running.is_empty() || !plan.steps.is_empty() => Phase::Applying,
            _ if plan.is_settled() => Phase::Settled,
            _ => Phase::Waiting,
        };
        self.last = View {
            phase,
            engine: self.engine.clone(),
            target: self.target.as_ref().map(|_| target),
            current: Arc::new(current),
            memory: Arc::new(self.memory.clone()),
            rejected: Arc::new(self.rejected(&facts)),
            facts: Arc::new(facts),
            policy: Arc::new(policy),
            plan: Arc::new(plan),
            device: Arc::new(self.device.clone()),
            doing: self.running.doing(),
            keys: self.keyring.clone(),
            faults: self.faults(),
        };
        self.send();
    }

    /// Apps whose wanted release does not run here.
    fn rejected(&self, facts: &Facts) -> BTreeSet<AppUuid> {
        let apps = self.target.iter().flat_map(|target| target.target.apps.values()).filter(|app| {
            let wanted = app.release.as_ref().map(|release| &release.commit);
            let failed = self.memory.rejected.get(&app.uuid).is_some_and(|rejected| Some(&rejected.commit) == wanted);
            failed || matches!(contract::judge(app, facts), contract::Verdict::Rejected(_))
        });
        apps.map(|app| app.uuid.clone()).collect()
    }

    /// Shows that something is wrong beside what was last seen.
    pub(super) fn publish_fault(&mut self) {
        if let Some(away) = &self.away {
            self.last.phase = Phase::EngineAway { error: away.error.clone(), since_boot_ms: away.since_boot_ms };
        }
        self.last.target = self.target.as_ref().map(|t| t.target.clone());
        self.last.doing = self.running.doing();
        self.last.faults = self.faults();
        self.send();
    }

    pub(super) fn publish_progress(&mut self) {
        self.last.doing = self.running.doing();
        self.send();
    }

    fn send(&self) {
        self.channels.view.send_replace(Arc::new(self.last.clone()));
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |subject: &str, message: &Option<String>| {
            message.clone().map(|message| Fault { subject: subject.to_owned(), message })
        };
        let engine = self.away.as_ref().map(|away| format!("{}; containers go on, the agent keeps trying", away.error));
        let locks = self.locks_unread.as_ref().map(|outage| outage.error.clone());
        [fault("engine", &engine), fault("database", &self.store_error), fault(LOCKS, &locks)].into_iter().flatten().collect()
    }
}
