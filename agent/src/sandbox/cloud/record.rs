//! What the embedded cloud remembers of its visitors. Bounded: the oldest entries go first.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Time since the cloud started.
    pub at: Duration,
    /// Method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// Status that was answered; 0 while it is not, or never.
    pub status: u16,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Time since the cloud started.
    pub at: Duration,
    /// Status that was answered.
    pub status: u16,
    /// Why it was refused, if it was.
    pub refusal: Option<String>,
    /// The body.
    pub body: Value,
}

/// Most entries kept of each kind.
const KEPT: usize = 10_000;

/// A list that forgets its oldest entries.
#[derive(Clone, Debug)]
pub struct Recent<T> {
    entries: VecDeque<T>,
    dropped: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { entries: VecDeque::new(), dropped: 0 }
    }
}

impl<T: Clone> Recent<T> {
    /// Adds an entry and returns its number.
    pub fn push(&mut self, entry: T) -> usize {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
        self.dropped + self.entries.len() - 1
    }

    /// The entry with that number, unless it was forgotten.
    pub fn entry(&mut self, number: usize) -> Option<&mut T> {
        self.entries.get_mut(number.checked_sub(self.dropped)?)
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> Vec<T> {
        self.entries.iter().cloned().collect()
    }
}
