//! The steps in flight: started, watched, cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use holdfast_plan::plan::{Action, Step};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::execute::{Done, carry_out};
use super::space::{Admission, Disk, Downloads};
use super::step_error::StepError;
use super::{Doing, Tools};

/// Progress that is not known.
const UNKNOWN: u8 = u8::MAX;

struct Flight {
    step: Step,
    since_boot_ms: i64,
    progress: Arc<AtomicU8>,
    abort: AbortHandle,
}

/// A step that ended.
pub(super) struct Ended {
    /// The step.
    pub step: Step,
    /// Its key.
    pub key: String,
    /// How; `None` when it was cancelled.
    pub outcome: Option<Result<Done, StepError>>,
}

/// The steps in flight, by key.
pub(super) struct Running {
    tasks: JoinSet<(String, Result<Done, StepError>)>,
    flights: BTreeMap<String, Flight>,
    progressed: Arc<Notify>,
    downloads: Arc<Downloads>,
}

impl Running {
    pub fn new() -> Running {
        Running {
            tasks: JoinSet::new(),
            flights: BTreeMap::new(),
            progressed: Arc::new(Notify::new()),
            downloads: Arc::default(),
        }
    }

    /// Starts a step.
    pub fn start(&mut self, step: Step, tools: &Tools, disk: &Disk) {
        let key = step.key();
        let progress = Arc::new(AtomicU8::new(UNKNOWN));
        let (seen, progressed) = (progress.clone(), self.progressed.clone());
        let report = Arc::new(move |percent: u8| {
            if seen.swap(percent, Ordering::Relaxed) != percent {
                progressed.notify_one();
            }
        });
        let (task_tools, action, task_key) = (tools.clone(), step.action.clone(), key.clone());
        let admission = Admission { disk: disk.clone(), downloads: self.downloads.clone() };
        let abort = self.tasks.spawn(async move { (task_key, carry_out(action, &task_tools, &admission, report).await) });
        let since_boot_ms = tools.clock.now().boot_ms;
        self.flights.insert(key, Flight { step, since_boot_ms, progress, abort });
    }

    /// Waits for the next step to end; for ever when none runs.
    pub async fn ended(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (key, outcome) = match joined {
                Ok((_, (key, result))) => (key, Some(result)),
                Err(error) => {
                    let flight = self.flights.iter().find(|(_, flight)| flight.abort.id() == error.id());
                    let Some(key) = flight.map(|(key, _)| key.clone()) else { continue };
                    (key, None)
                }
            };
            if let Some(flight) = self.flights.remove(&key) {
                return Ended { step: flight.step, key, outcome };
            }
        }
    }

    /// Drops a running step; it ends as cancelled.
    pub fn cancel(&mut self, key: &str) {
        if let Some(flight) = self.flights.get(key) {
            flight.abort.abort();
        }
    }

    /// Drops every running pull.
    pub fn cancel_pulls(&mut self) {
        for flight in self.flights.values().filter(|flight| matches!(flight.step.action, Action::Fetch { .. })) {
            flight.abort.abort();
        }
    }

    /// Whether images are being removed.
    pub fn removes_images(&self) -> bool {
        let removes = |flight: &Flight| matches!(flight.step.action, Action::RemoveImage { .. } | Action::RemoveDangling { .. });
        self.flights.values().any(removes)
    }

    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    pub fn has(&self, key: &str) -> bool {
        self.flights.contains_key(key)
    }

    /// Keys with progress, for the plan.
    pub fn in_flight(&self) -> BTreeMap<String, Option<u8>> {
        self.flights.iter().map(|(key, flight)| (key.clone(), flight.percent())).collect()
    }

    /// The same for people.
    pub fn doing(&self) -> Vec<Doing> {
        let doing = |flight: &Flight| Doing {
            step: flight.step.clone(),
            since_boot_ms: flight.since_boot_ms,
            progress: flight.percent(),
        };
        self.flights.values().map(doing).collect()
    }

    /// Fires when a pull's progress changed.
    pub fn progressed(&self) -> Arc<Notify> {
        self.progressed.clone()
    }
}

impl Flight {
    fn percent(&self) -> Option<u8> {
        Some(self.progress.load(Ordering::Relaxed)).filter(|percent| *percent != UNKNOWN)
    }
}
