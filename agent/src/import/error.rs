//! Why nothing was imported.

use std::io;
use std::path::Path;

/// Why nothing was imported: which file or row, what is wrong with it, what a person can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}; nothing was imported, the file is as it was; {next}")]
pub struct ImportError {
    /// Which file.
    pub path: String,
    /// What is wrong, with the row it is about.
    pub what: String,
    /// What to do.
    pub next: String,
}

impl ImportError {
    /// An error in its own words.
    pub(super) fn file(path: &Path, what: impl Into<String>, next: &str) -> ImportError {
        ImportError { path: path.display().to_string(), what: what.into(), next: next.to_owned() }
    }

    /// What the file system answered.
    pub(super) fn io(path: &Path, what: &str, error: &io::Error) -> ImportError {
        let next = match error.kind() {
            io::ErrorKind::NotFound => "see that the path is right and its partition mounted",
            io::ErrorKind::PermissionDenied => "see that the user the agent runs as may read it",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on the data partition",
            io::ErrorKind::ReadOnlyFilesystem => "its partition is read-only: see the kernel log for why, then remount it",
            io::ErrorKind::IsADirectory => "name the file in it",
            _ => "see the kernel log for errors of the storage",
        };
        ImportError::file(path, format!("{what}: {error}"), next)
    }
}
