//! The first broken rule of a run. It ends the run: what follows may be its consequence, or may never end.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What is held against the agent.
#[derive(Default)]
pub(super) struct Verdict {
    broken: Mutex<Option<String>>,
    over: Notify,
}

impl Verdict {
    /// The first accusation counts.
    pub fn accuse(&self, what: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
        self.over.notify_one();
    }

    /// The first broken rule.
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a rule is broken.
    pub async fn over(&self) {
        self.over.notified().await;
    }
}
