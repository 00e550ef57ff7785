//! Failures that repeat: said at the first, second, fourth, eighth… time, so that a step that fails for days does not fill
//! the device's log and the cloud's, which keeps only the last thousand lines.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// A step that did not fail for this long fails anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// Most different errors that are told apart for one step.
const MOST_ERRORS: usize = 8;

/// Steps that failed and have not succeeded since.
#[derive(Default)]
pub(super) struct Repeats(BTreeMap<String, Failing>);

struct Failing {
    last: Instant,
    errors: BTreeMap<String, u32>,
}

impl Repeats {
    /// Counts a failure; the number of times when it is one to be said.
    pub fn count(&mut self, step: &str, error: &str, now: Instant) -> Option<u32> {
        self.0.retain(|_, failing| failing.last + FORGOTTEN_AFTER > now);
        let failing = self.0.entry(step.to_owned()).or_insert_with(|| Failing { last: now, errors: BTreeMap::new() });
        failing.last = now;
        let mut error = shape(error);
        if failing.errors.len() >= MOST_ERRORS && !failing.errors.contains_key(&error) {
            error = String::new();
        }
        let count = failing.errors.entry(error).or_insert(0);
        *count = count.saturating_add(1);
        count.is_power_of_two().then_some(*count)
    }

    /// Whether the step failed lately.
    pub fn knows(&self, step: &str, now: Instant) -> bool {
        self.0.get(step).is_some_and(|failing| failing.last + FORGOTTEN_AFTER > now)
    }

    /// The step succeeded.
    pub fn forget(&mut self, step: &str) {
        self.0.remove(step);
    }

    /// A new target: everything is said anew.
    pub fn begin_anew(&mut self) {
        self.0.clear();
    }
}

/// The text without what differs from try to try: ports, times, ids. Every word with a digit in it counts as one and the same.
pub(super) fn shape(error: &str) -> String {
    let words = error.split_inclusive(|c: char| !c.is_alphanumeric());
    words.map(|word| if word.bytes().any(|byte| byte.is_ascii_digit()) { "#" } else { word }).collect()
}
