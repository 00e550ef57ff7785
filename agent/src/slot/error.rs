//! What can go wrong when the agent is to be replaced.

use std::path::Path;

/// Why an agent was not replaced. The one that runs goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {message}")]
pub struct SlotError {
    /// The file or address it is about.
    pub object: String,
    /// What happened and what a person can do.
    pub message: String,
}

impl SlotError {
    /// About a file.
    pub(super) fn file(path: &Path, message: impl std::fmt::Display) -> SlotError {
        SlotError::of(&path.display().to_string(), message)
    }

    /// About anything.
    pub(super) fn of(object: &str, message: impl std::fmt::Display) -> SlotError {
        SlotError { object: object.to_owned(), message: message.to_string() }
    }

    /// What the file system answered to an attempt.
    pub(super) fn io<'a>(path: &'a Path, what: &'a str) -> impl Fn(std::io::Error) -> SlotError + 'a {
        move |error| SlotError::file(path, format_args!("{what}: {error}"))
    }
}
