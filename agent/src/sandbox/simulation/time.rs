//! The simulated machine's clocks, both taken from tokio's so that they stand still and jump with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_plan::policy::Now;
use tokio::time::Instant;

use super::pace::Pace;
use crate::clock::Clock;

/// The wall clock at the start of every run, ms since 1970.
const START_MS: i64 = 1_790_000_000_000;

/// Time of one simulated machine.
pub(super) struct SimClock {
    start: Instant,
    /// When the wall clock is set; until then it counts from 1970.
    set_after: Duration,
    booted: Mutex<Instant>,
    /// How much is done on the machine in how much time.
    pub pace: Arc<Pace>,
}

impl SimClock {
    /// A machine that starts now and knows the time after so long.
    pub fn new(set_after: Duration, pace: Arc<Pace>) -> SimClock {
        let start = Instant::now();
        SimClock { start, set_after, booted: Mutex::new(start), pace }
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The machine starts again. Returns when that was, ms since 1970 by its own clock.
    pub fn reboot(&self) -> i64 {
        *self.booted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.now().machine_ms
    }
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        self.pace.looked();
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let booted = *self.booted.lock().unwrap_or_else(PoisonError::into_inner);
        let boot_ms = ms(booted.elapsed());
        let elapsed = self.start.elapsed();
        let is_set = elapsed >= self.set_after;
        let machine_ms = if is_set { START_MS + ms(elapsed) } else { ms(elapsed) };
        Now { wall_ms: is_set.then_some(machine_ms), machine_ms, boot_ms }
    }
}
