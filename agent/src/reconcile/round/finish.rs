//! What a step left behind when it ended, well or not.

use std::time::Duration;

use holdfast_plan::memory::{Failure, PowerChange};
use holdfast_plan::plan::{Action, Step};

use super::super::failures::{self, Cause};
use super::super::running::Ended;
use super::super::step_error::StepError;
use super::Reconciler;
use crate::events::{Level, Topic};
use crate::host::HostError;
use crate::store::Change;

/// An unused image that cannot be removed is left so long (behaviour §8.3).
const LEAVE_DANGLING: Duration = Duration::from_secs(3600);

impl Reconciler {
    /// Takes note of a step that ended.
    pub(super) async fn finish(&mut self, ended: Ended) {
        let Ended { step, key, outcome } = ended;
        let now = self.tools.clock.now();
        match outcome {
            None => self.announcer.given_up(&step, now.wall_ms),
            Some(Ok(done)) => {
                self.memory.failures.remove(&key);
                self.announcer.done(&step, now.wall_ms);
                let removed = matches!(step.action, Action::RemoveImage { .. } | Action::RemoveDangling { .. });
                if removed && !self.running.removes_images() {
                    failures::room_was_made(&mut self.memory.failures);
                }
                if step.action == Action::Reboot {
                    self.goes_down(PowerChange::Reboot);
                }
                if let Some(hold) = self.hold.as_mut().filter(|_| !done.broken.is_empty()) {
                    hold.broken.extend(done.broken.iter().map(|lock| format!("{} of {}", lock.file, lock.service)));
                }
                for lock in &done.broken {
                    let message = format!("the application's update lock {} was broken", lock.file);
                    self.announcer.say_on(
                        Topic::Lock,
                        Level::Warning,
                        step.app.as_deref(),
                        Some(&lock.service),
                        message,
                        now.wall_ms,
                    );
                }
                let changes = done.remember.iter().cloned().map(Change::Remember).collect::<Vec<_>>();
                // What cannot be recorded now is recorded by a later round: the object itself is there to be seen.
                if !changes.is_empty() && self.commit(changes).await {
                    done.remember.iter().for_each(|change| self.memory.apply(change));
                }
            }
            Some(Err(error)) => self.failed(&step, &key, &error),
        }
    }

    fn failed(&mut self, step: &Step, key: &str, error: &StepError) {
        let now = self.tools.clock.now();
        match error {
            // The whole engine is away: that is not this step's failure.
            StepError::Engine(error) if error.is_unreachable() => log::warn!("{key}: {error}"),
            StepError::Host(HostError::LockHeld { .. }) => {
                // The application was quicker. The next look sees its lock; a short pause keeps a disagreement from spinning.
                self.announcer.failed(step, &error.to_string(), 1_000, now.wall_ms);
                let retry_boot_ms = now.boot_ms + 1_000;
                let failure = Failure { error: error.to_string(), count: 1, retry_boot_ms, no_space: false };
                self.memory.failures.insert(key.to_owned(), failure);
            }
            error => {
                let cause = Cause { error: error.to_string(), no_space: error.is_no_space() };
                if matches!(step.action, Action::RemoveDangling { .. }) {
                    failures::leave(&mut self.memory.failures, key, cause, now.boot_ms, LEAVE_DANGLING);
                } else {
                    failures::record(&mut self.memory.failures, key, cause, now.boot_ms, self.tools.max_retry);
                }
                let retry_in = self.memory.failures.get(key).map_or(0, |failure| failure.retry_boot_ms - now.boot_ms);
                self.announcer.failed(step, &error.to_string(), retry_in, now.wall_ms);
            }
        }
    }
}
