//! The store as the rest of the agent sees it.

use super::change::{Change, Loaded};
use super::error::StoreError;
use super::outcome::Recovery;
use super::task::Task;

/// How the database is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreHealth {
    /// Path of the file.
    pub path: String,
    /// Whether it is open and writable.
    pub open: bool,
    /// Schema version.
    pub schema: u32,
    /// `wal` or what SQLite says.
    pub journal_mode: String,
    /// Bytes of the main file.
    pub size_bytes: u64,
    /// The last error, if it still stands.
    pub error: Option<String>,
    /// What had to be done at this start before it could be opened.
    pub recovery: Option<Recovery>,
    /// Verified copies, newest first.
    pub backups: Vec<BackupInfo>,
}

/// A verified copy of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BackupInfo {
    /// Path of the file.
    pub path: String,
    /// When it was taken, ms since 1970; `None` when the clock was not set then.
    pub taken_ms: Option<i64>,
    /// Schema version.
    pub schema: u32,
    /// Bytes.
    pub bytes: u64,
    /// Whether it is, as far as was looked, a good one.
    pub verified: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Done {
    /// Whether all is well.
    pub ok: bool,
    /// What was done and found, in a sentence.
    pub text: String,
    /// What is wrong, for a check.
    pub findings: Vec<String>,
    /// The copy that was made, or all copies.
    pub backups: Vec<BackupInfo>,
    /// Folders of what was set aside, newest first.
    pub set_aside: Vec<String>,
}

impl Done {
    /// All is well.
    pub(super) fn well(text: String) -> Done {
        Done { ok: true, text, ..Done::default() }
    }
}

/// The store.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// Reads everything; of targets the one of this source and uuid.
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError>;

    /// Writes changes in one transaction, durable when it returns. Changes that change nothing cost no write.
    ///
    /// A commit whose future is dropped may still be carried out.
    ///
    /// # Errors
    /// Then nothing of it is stored; the same commit may be tried again.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// How the database is.
    async fn health(&self) -> StoreHealth;

    /// Works on the database file: a check, a copy and the like.
    ///
    /// # Errors
    /// When it cannot be done, and for a store without a file.
    async fn upkeep(&self, task: Task) -> Result<Done, StoreError> {
        let _ = task;
        Err(StoreError::Failed { path: "memory".to_owned(), message: "there is no file to work on".to_owned() })
    }
}
