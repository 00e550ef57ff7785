//! What can go wrong with the store, in words that say what to do.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

/// What can go wrong with the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another agent has the data directory.
    #[error("{path} is held by another agent{}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The lock file.
        path: String,
        /// Who, if it could be read.
        pid: Option<u32>,
    },
    /// Everything else.
    #[error("{path}: {message}")]
    Failed {
        /// Which file.
        path: String,
        /// What happened and what a person can do.
        message: String,
    },
}

impl StoreError {
    /// An error with its own words.
    pub(super) fn failed(path: &Path, message: impl Into<String>) -> StoreError {
        StoreError::Failed { path: path.display().to_string(), message: message.into() }
    }

    /// What the file system answered.
    pub(super) fn io(path: &Path, what: &str, error: &io::Error) -> StoreError {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its partition",
            io::ErrorKind::ReadOnlyFilesystem => "its partition is read-only: see the kernel log for why, then remount it",
            io::ErrorKind::PermissionDenied => "see that it belongs to the user the agent runs as",
            io::ErrorKind::NotFound => "see that the data partition is mounted",
            io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => "something else lies at this path: move it away",
            _ => "see the kernel log for errors of the storage",
        };
        StoreError::failed(path, format!("{what}: {error}; {remedy}"))
    }

    /// What SQLite answered.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> StoreError {
        StoreError::failed(path, format!("{error}; {}", remedy(error.sqlite_error_code())))
    }
}

fn remedy(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::DiskFull) => "nothing was stored: free some space on its partition, the next attempt needs no restart",
        Some(ErrorCode::ReadOnly) => {
            "nothing was stored: is its partition read-only? See the kernel log for why, then remount it; no restart is needed"
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "see that the data partition is mounted, and that the file and its folder belong to the user the agent runs as"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "nothing was stored: another program has the file locked, end it; the next attempt needs no restart"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the file is damaged: it is set aside and a backup restored as soon as it is opened anew"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "nothing was stored: see the kernel log for errors of the storage, and whether it is full"
        }
        Some(ErrorCode::ConstraintViolation) => "nothing was stored: the schema does not allow this value",
        _ => "nothing was stored",
    }
}
