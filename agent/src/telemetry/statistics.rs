//! What the loop keeps and everybody else reads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::book::Book;

/// The statistics. Clones are the same.
#[derive(Clone, Debug)]
pub struct Statistics {
    book: Arc<Mutex<Book>>,
}

impl Statistics {
    /// Empty ones, for looks every `interval` (zero: none) that are kept for `retention`.
    pub fn new(interval: Duration, retention: Duration) -> Statistics {
        Statistics { book: Arc::new(Mutex::new(Book::new(interval, retention))) }
    }

    /// Reads them; nobody can change them meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        // Every change leaves them whole at each of its steps.
        read(&self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
