//! How often the cloud is called.

use std::time::Duration;

use crate::settings::Settings;

/// Intervals of the two loops. They are read anew each time round, so a change needs no restart (protocol §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between polls, and the bound of the wait after failures.
    pub poll_interval: Duration,
    /// Upper bound of the random time added to it.
    pub poll_jitter: Duration,
    /// Least time between reports.
    pub report_interval: Duration,
}

impl From<&Settings> for Timing {
    fn from(settings: &Settings) -> Timing {
        Timing {
            poll_interval: settings.poll_interval,
            poll_jitter: settings.poll_jitter,
            report_interval: settings.report_interval,
        }
    }
}
