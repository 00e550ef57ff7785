//! The store without a file and without a thread, for the simulation: same changes, same results, every failure on order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_plan::memory::{ImageRecord, Remember, Trial};

use super::change::{Change, Loaded, StoredKey, StoredTarget, usual_scopes};
use super::error::StoreError;
use super::interface::{Store, StoreHealth};

/// How commits fail while they are told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InlineFailure {
    /// Nothing is written and the commit says why: a full disk.
    Refused(String),
    /// Everything is written, and the commit fails all the same: a crash between the write and the answer.
    AnswerLost,
}

/// A store in memory. Keep it in an `Arc` and hand it to the next agent: that is what a restart finds.
#[derive(Debug, Default)]
pub struct InlineStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    targets: BTreeMap<(String, String), StoredTarget>,
    rest: Loaded,
    failure: Option<InlineFailure>,
    writes: u64,
}

impl InlineStore {
    /// An empty store.
    pub fn new() -> InlineStore {
        InlineStore::default()
    }

    /// Lets commits fail from now on, or (`None`) work again.
    pub fn fail(&self, failure: Option<InlineFailure>) {
        self.state().failure = failure;
    }

    /// How many commits changed something: each would have been an fsync.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The state stays usable when a test panicked with it: every change is whole or not there.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, changes: Vec<Change>) {
        let before = (self.targets.clone(), self.rest.clone());
        for change in changes {
            match change {
                Change::Target(target) => {
                    self.targets.retain(|(source, uuid), _| !target.replaces(source, uuid));
                    self.targets.insert((target.source.clone(), target.uuid.clone()), target);
                    self.rest.memory.target_stored = true;
                }
                Change::DropTarget { source } => self.targets.retain(|(of, _), _| *of != source),
                Change::Remember(remember) => self.rest.memory.apply(&as_stored(remember)),
                Change::ApiKey { owner, key } => {
                    let scopes = usual_scopes(&owner);
                    self.rest.api_keys.entry(owner).or_insert(StoredKey { key: String::new(), scopes }).key = key;
                }
                Change::DropKey { owner } => {
                    self.rest.api_keys.remove(&owner);
                }
                Change::KeyScopes { owner, scopes } => {
                    self.rest.api_keys.entry(owner).and_modify(|stored| stored.scopes = scopes);
                }
                // Nothing the agent starts from.
                Change::Snapshot { .. } => {}
                Change::Value { name, value: Some(value) } => {
                    self.rest.values.insert(name, value);
                }
                Change::Value { name, value: None } => {
                    self.rest.values.remove(&name);
                }
            }
        }
        self.writes += u64::from(before != (self.targets.clone(), self.rest.clone()));
    }
}

/// What comes back from a file: an image in the normal form of its reference, for example.
fn as_stored(remember: Remember) -> Remember {
    match remember {
        Remember::Image(record) => {
            let image = record.image.to_string().parse().unwrap_or_else(|_| record.image.clone());
            Remember::Image(ImageRecord { image, ..record })
        }
        // What belongs to one run of the agent is not stored.
        Remember::BeginTrial { app_uuid, trial } => {
            Remember::BeginTrial { app_uuid, trial: Trial { since_boot_ms: None, ..trial } }
        }
        Remember::Order { app_id, order } => {
            let order = order.filter(|order| order.is_stored()).map(|order| Box::new(order.resumed(0)));
            Remember::Order { app_id, order }
        }
        other => other,
    }
}

#[async_trait::async_trait]
impl Store for InlineStore {
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        let state = self.state();
        let target = state.targets.get(&(source.to_owned(), uuid.to_owned())).cloned();
        Ok(Loaded { target, ..state.rest.clone() })
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut state = self.state();
        let failed = |message: &str| Err(StoreError::Failed { path: "memory".to_owned(), message: message.to_owned() });
        match state.failure.clone() {
            Some(InlineFailure::Refused(message)) => failed(&message),
            Some(InlineFailure::AnswerLost) => {
                state.apply(changes);
                failed("the answer was lost")
            }
            None => {
                state.apply(changes);
                Ok(())
            }
        }
    }

    async fn health(&self) -> StoreHealth {
        let error = self.state().failure.as_ref().map(|failure| format!("{failure:?}"));
        StoreHealth { path: "memory".to_owned(), open: true, journal_mode: "none".to_owned(), error, ..StoreHealth::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Vec<Change> {
        vec![Change::Value { name: "n".into(), value: Some(text.into()) }]
    }

    #[tokio::test]
    async fn failures_on_order() {
        let store = InlineStore::new();
        store.commit(value("1")).await.unwrap();
        store.commit(value("1")).await.unwrap();
        assert_eq!(store.writes(), 1);
        store.fail(Some(InlineFailure::Refused("full".into())));
        assert!(store.commit(value("2")).await.unwrap_err().to_string().contains("full"));
        assert_eq!(store.load("", "").await.unwrap().values["n"], "1");
        store.fail(Some(InlineFailure::AnswerLost));
        assert!(store.commit(value("3")).await.is_err());
        assert!(store.health().await.error.is_some());
        store.fail(None);
        assert_eq!(store.load("", "").await.unwrap().values["n"], "3");
        assert_eq!(store.writes(), 2);
    }
}
