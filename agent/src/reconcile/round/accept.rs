//! What comes in: a target, a request, and trials that were under way when the agent started.

use holdfast_plan::memory::{Remember, Trial};
use holdfast_plan::plan::Plan;
use holdfast_plan::policy::{Force, Hold};

use super::super::hold::ActiveHold;
use super::super::{HoldRequest, Request};
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

    pub(super) async fn accept(&mut self, request: Request) {
        let (from, force, cancel) = match request {
            Request::Look { from, force, cancel } => (from, force, cancel),
            Request::Hold(request) => return self.accept_hold(request),
            Request::NewKey { from, owner, reply } => {
                // Whoever asked may have gone away.
                let _ = reply.send(self.renew_key(owner, &from).await);
                return;
            }
            Request::Host { from, force, order, reply } => {
                let outcome = self.order(order, &from, force).await;
                // Whoever asked may have gone away.
                let _ = reply.send(outcome);
                return;
            }
        };
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

    /// One volume at a time: two requests for containers of one app would have to know of each other.
    fn accept_hold(&mut self, request: HoldRequest) {
        match self.hold.as_ref().filter(|hold| hold.is_wanted()) {
            Some(other) => {
                let Hold { volume, purpose, .. } = &other.hold;
                let why = format!("the {purpose} of volume {volume} is under way; one volume is copied at a time");
                request.refuse(false, why);
            }
            None => self.hold = Some(ActiveHold::new(request)),
        }
    }

    /// Tells whoever asked for a volume how it stands. Returns whether the hold ended by that.
    pub(super) fn judge_hold(&mut self, plan: &Plan) -> bool {
        let Some(hold) = &mut self.hold else { return false };
        if hold.judge(plan) {
            return false;
        }
        self.hold = None;
        true
    }

    pub(super) fn accept_target(&mut self) {
        self.target = self.channels.target.borrow_and_update().clone();
        self.memory.target_stored = self.target.is_some();
        self.memory.failures.clear();
        self.announcer.new_target();
        self.force = None;
    }
}
