//! What a container wrote, as the engine kept it.

use std::io;
use std::pin::Pin;

use futures_util::Stream;

/// Which lines of a container's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// None older than this, ns since 1970.
    pub since_ns: Option<i64>,
    /// Only so many of the newest.
    pub last: Option<u32>,
    /// Go on until the container ends.
    pub follow: bool,
}

/// One line. A very long one comes in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, ns since 1970 by the engine's clock.
    pub time_ns: i64,
    /// Whether it was written to standard error; with a terminal there is no telling.
    pub is_error: bool,
    /// The bytes, without the line's end.
    pub text: Vec<u8>,
}

/// Lines in the order they were written. An error of it breaks them off. Dropping it ends the request.
pub type LogLines = Pin<Box<dyn Stream<Item = io::Result<LogLine>> + Send>>;
