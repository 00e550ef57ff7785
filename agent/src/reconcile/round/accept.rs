//! What comes in: a target, a request, and trials that were under way when the agent started.

use holdfast_plan::memory::{Remember, Trial};
use holdfast_plan::policy::Force;

use super::super::Request;
use super::Reconciler;
use crate::store::Change;

impl Reconciler {
    /// Trials go on after a start of the agent, with a clock of their own and one more start on record.
    pub(super) async fn resume_trials(&mut self) {
        let since_boot_ms = Some(self.tools.clock.now().boot_ms);
        let resumed = |(app_uuid, trial): (&String, &Trial)| {
            let trial = Trial { starts: trial.starts.saturating_add(1), since_boot_ms, ..trial.clone() };
            Remember::BeginTrial { app_uuid: app_uuid.clone(), trial }
        };
        let changes: Vec<Remember> = self.memory.trials.iter().map(resumed).collect();
        if !changes.is_empty() {
            self.commit(changes.iter().cloned().map(Change::Remember).collect()).await;
            changes.iter().for_each(|change| self.memory.apply(change));
        }
    }

    pub(super) fn accept(&mut self, request: Request) {
        let Request::Look { from, force, cancel } = request;
        if force {
            log::info!("update asked for by the {from} with force: update locks will be broken");
            self.force = Some(Force::Request { from });
        }
        if cancel {
            self.running.cancel_pulls();
        }
        // Somebody wants it now: what waits for its next try is tried at once.
        self.memory.failures.values_mut().for_each(|failure| failure.retry_boot_ms = 0);
    }

    pub(super) fn accept_target(&mut self) {
        self.target = self.channels.target.borrow_and_update().clone();
        self.memory.target_stored = self.target.is_some();
        self.memory.failures.clear();
        self.announcer.new_target();
        self.force = None;
    }
}
