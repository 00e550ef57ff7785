//! What can go wrong with a registry.

use std::time::Duration;

use crate::http::BodyError;

/// An error of a registry: which call or image, what happened. It never stops a pull: that goes through the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No client can be made.
    #[error("registries cannot be asked: {0}")]
    Client(String),
    /// The reference leads to no address.
    #[error("image {image}: no registry can be asked for it: {why}")]
    Reference {
        /// Which.
        image: String,
        /// Why.
        why: String,
    },
    /// No connection, no answer, or TLS refused.
    #[error("{call}: {cause}")]
    Unreachable {
        /// Method and address.
        call: String,
        /// The cause chain.
        cause: String,
    },
    /// All calls together took longer than they may.
    #[error("image {image}: the registry did not tell its size within {} s", limit.as_secs_f32())]
    TimedOut {
        /// Which.
        image: String,
        /// The limit.
        limit: Duration,
    },
    /// The registry does not hand it out.
    #[error("{call}: answered {status}{message}")]
    Status {
        /// Method and address.
        call: String,
        /// The status code.
        status: u16,
        /// Empty, or `: ` and the beginning of the body.
        message: String,
    },
    /// The body could not be read.
    #[error("{call}: {error}")]
    Body {
        /// Method and address.
        call: String,
        /// Why.
        error: BodyError,
    },
    /// The answer is not what the protocol says, or leads where the agent does not go.
    #[error("{call}: {what}")]
    Answer {
        /// Method and address.
        call: String,
        /// What is wrong.
        what: String,
    },
}
