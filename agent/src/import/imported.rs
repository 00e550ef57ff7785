//! What was read and is to be stored.

use crate::store::Change;

use super::IMPORTED_FROM;

/// Everything one import brings, to be stored in one commit.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// What is stored.
    pub changes: Vec<Change>,
    /// What was taken over, in words.
    pub taken: Vec<String>,
    /// What was passed over or needs somebody's attention, in words.
    pub remarks: Vec<String>,
    /// Whether a target is among it.
    pub has_target: bool,
}

impl Imported {
    /// Adds a change.
    pub(super) fn change(&mut self, change: Change) {
        self.has_target |= matches!(change, Change::Target(_));
        self.changes.push(change);
    }

    /// Adds a named value.
    pub(super) fn value(&mut self, name: &str, value: impl Into<String>) {
        self.change(Change::Value { name: name.to_owned(), value: Some(value.into()) });
    }

    /// Records where it came from.
    pub(super) fn came_from(&mut self, origin: &str) {
        self.value(IMPORTED_FROM, origin);
    }

    /// What was taken over, as one sentence's part.
    pub fn summary(&self) -> String {
        if self.taken.is_empty() { "nothing that matters here".to_owned() } else { self.taken.join(", ") }
    }
}
