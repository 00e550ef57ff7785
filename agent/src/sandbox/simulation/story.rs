//! What happened in a run, line by line, for people.

use std::sync::{Arc, Mutex, PoisonError};

use super::time::SimClock;

/// Lines kept for the end of a run that nobody reads along.
const KEPT: usize = 60;

/// Takes the lines of a run as they come.
pub type Reader = Arc<dyn Fn(&str) + Send + Sync>;

/// The story of one run.
pub(super) struct Story {
    clock: Arc<SimClock>,
    reader: Option<Reader>,
    lines: Mutex<std::collections::VecDeque<String>>,
}

impl Story {
    pub fn new(clock: Arc<SimClock>, reader: Option<Reader>) -> Story {
        Story { clock, reader, lines: Mutex::default() }
    }

    /// Adds a line. It is only put together when somebody may read it.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let line = format!("{:>10.3} s  {}", self.clock.elapsed().as_secs_f64(), line());
        if let Some(reader) = &self.reader {
            reader(&line);
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last lines.
    pub fn last(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
