//! The times of the log stream.

use std::time::Duration;

/// How long what takes. The default is protocol §13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTiming {
    /// From the head of the request to the first line: a cloud that does not want the stream says so meanwhile. Past it the
    /// connection counts as good.
    pub grace: Duration,
    /// Least time between two pieces of the body.
    pub flush: Duration,
    /// A connection without a message for this long is closed.
    pub idle: Duration,
    /// First wait after a failure; it doubles.
    pub retry_first: Duration,
    /// Longest wait after a failure.
    pub retry_longest: Duration,
    /// A request whose head is not on its way after this, or a body of which nothing is taken for this long while lines
    /// wait, has failed: a network that is gone does not say so.
    pub stall: Duration,
    /// How long the cloud may take to answer once the body has ended.
    pub farewell: Duration,
}

impl Default for LogTiming {
    fn default() -> Self {
        LogTiming {
            grace: Duration::from_secs(5),
            flush: Duration::from_millis(100),
            idle: Duration::from_secs(60),
            retry_first: Duration::from_secs(5),
            retry_longest: Duration::from_secs(300),
            stall: Duration::from_secs(120),
            farewell: Duration::from_secs(2),
        }
    }
}
