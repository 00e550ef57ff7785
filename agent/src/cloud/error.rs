//! What can go wrong with the cloud.

use std::time::Duration;

/// An error of a call to the cloud: which call, what happened, what is known of the cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// The settings do not make a client.
    #[error("the cloud cannot be called: {0}")]
    Settings(String),
    /// No connection, no answer, or TLS refused.
    #[error("{call}: {cause}")]
    Unreachable {
        /// Method and address.
        call: String,
        /// The cause chain.
        cause: String,
    },
    /// One phase of the call took longer than it may.
    #[error("{call}: {phase} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// Method and address.
        call: String,
        /// Which phase.
        phase: &'static str,
        /// Its limit.
        limit: Duration,
    },
    /// The answer ended before it was complete.
    #[error("{call}: the answer broke off after {received} bytes: {cause}")]
    BrokeOff {
        /// Method and address.
        call: String,
        /// Bytes received, after decompression.
        received: usize,
        /// The cause chain.
        cause: String,
    },
    /// The answer is larger than the agent takes.
    #[error("{call}: the answer is larger than {limit_bytes} bytes and is refused")]
    TooLarge {
        /// Method and address.
        call: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The cloud does not accept the key. The texts differ between the poll and the report (protocol §3.2, §6.4).
    #[error("{call}: answered 401: {meaning}")]
    Unauthorised {
        /// Method and address.
        call: String,
        /// What it means there.
        meaning: &'static str,
        /// How long to wait, if the cloud says so.
        retry_after: Option<Duration>,
    },
    /// Any other status that is not success.
    #[error("{call}: answered {status}{message}{}", retry_after.map(|d| format!(" (asks to wait {} s)", d.as_secs())).unwrap_or_default())]
    Status {
        /// Method and address.
        call: String,
        /// The status code.
        status: u16,
        /// Empty, or `: ` and the beginning of the body.
        message: String,
        /// How long to wait, if the cloud says so.
        retry_after: Option<Duration>,
    },
    /// The body is not what was asked for.
    #[error("the answer is refused: {0}")]
    NotATarget(String),
    /// "Not modified" though nothing was named that could be unmodified (protocol §3.2).
    #[error("answered 304 (not modified) though no ETag was sent: the device may be deleted or frozen in the cloud")]
    NotModifiedWithoutEtag,
    /// The target arrived and could not be kept.
    #[error("the new target arrived but could not be stored, so it does not take force: {0}")]
    NotStored(String),
}

impl CloudError {
    /// How long the cloud asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CloudError::Unauthorised { retry_after, .. } | CloudError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
