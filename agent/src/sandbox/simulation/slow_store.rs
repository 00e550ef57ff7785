//! The store with the time a disk takes, so that a crash can fall before, between and after its writes, and with failures.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use holdfast_plan::plan::{Action, Reason, Step};

use super::pace::Pace;
use crate::store::{Change, InlineFailure, InlineStore, Loaded, Store, StoreError, StoreHealth};

/// A disk under the inline store.
pub(super) struct SlowStore {
    disk: Arc<InlineStore>,
    pace: Arc<Pace>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    /// Commits fail so often in a hundred.
    failing_percent: u32,
}

impl SlowStore {
    pub fn new(disk: Arc<InlineStore>, pace: Arc<Pace>, rng: Rng) -> SlowStore {
        SlowStore { disk, pace, state: Mutex::new(State { rng, failing_percent: 0 }) }
    }

    /// How many commits in a hundred fail from now on.
    pub fn fail(&self, percent: u32) {
        self.with(|state| state.failing_percent = percent);
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn moment(&self) {
        let micros = self.with(|state| state.rng.u64(100..4_000));
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    fn failure(&self) -> Option<InlineFailure> {
        self.with(|state| {
            if state.rng.u32(0..100) >= state.failing_percent {
                None
            } else if state.rng.bool() {
                Some(InlineFailure::AnswerLost)
            } else {
                Some(InlineFailure::Refused("database or disk is full".into()))
            }
        })
    }
}

/// What a change is about, whatever it says of it.
fn object(change: &Change) -> String {
    match change {
        Change::Remember(change) => {
            let action = Action::Remember { change: change.clone() };
            Step { action, app: None, service: None, why: Reason::NotThereYet }.key()
        }
        Change::Snapshot { .. } => "what runs".into(),
        other => format!("{other:?}"),
    }
}

#[async_trait]
impl Store for SlowStore {
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        self.disk.load(source, uuid).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        changes.iter().for_each(|change| self.pace.did(&format!("stored {}", object(change))));
        self.moment().await;
        self.disk.fail(self.failure());
        // The inline store is done at once: nobody else commits while this failure is set.
        let result = self.disk.commit(changes).await;
        self.disk.fail(None);
        self.moment().await;
        result
    }

    async fn health(&self) -> StoreHealth {
        self.disk.health().await
    }
}
