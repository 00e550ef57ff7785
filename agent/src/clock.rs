//! The agent's only source of time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_plan::policy::Now;

/// Tells the time. The simulation has its own.
pub trait Clock: Send + Sync {
    /// Wall clock (if it can be trusted) and time since boot.
    fn now(&self) -> Now;
}

/// A wall clock that says less than this is not set yet (ms since 1970; 2026-01-01): devices without a battery wake up in 1970.
pub const EARLIEST_TRUSTED_MS: i64 = 1_767_225_600_000;

/// The machine's clocks.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::useless_conversion, reason = "nanoseconds are 32 bits wide on armv7")]
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Now {
            wall_ms: (wall >= EARLIEST_TRUSTED_MS).then_some(wall),
            machine_ms: wall,
            boot_ms: boot.tv_sec * 1000 + i64::from(boot.tv_nsec) / 1_000_000,
        }
    }
}

/// How long from now until a time since boot, ms; zero when it is past.
pub fn until(boot_ms: i64, now: Now) -> Duration {
    Duration::from_millis(u64::try_from(boot_ms - now.boot_ms).unwrap_or(0))
}
