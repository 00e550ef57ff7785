//! The store as the rest of the agent sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change::{Change, Loaded};
use super::error::StoreError;
use super::flash::Writes;
use super::outcome::Recovery;
use super::task::Task;
use crate::events::Event;

/// How the database is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// Rows of all tables together.
    pub rows: u64,
    /// The newest backup, if there is one.
    pub newest_backup: Option<BackupInfo>,
    /// Bytes the agent can still write on the partition.
    pub free_bytes: Option<u64>,
    /// Bytes of the partition.
    pub partition_bytes: Option<u64>,
    /// The last error, if it still stands.
    pub error: Option<String>,
    /// What had to be done at this start before it could be opened.
    pub recovery: Option<Recovery>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

/// A backup of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupInfo {
    /// Its file.
    pub path: String,
    /// When it was made, ms since 1970, if the clock was trusted.
    pub taken_ms: Option<i64>,
    /// Its schema version.
    pub schema: u32,
    /// Its size.
    pub bytes: u64,
    /// Whether it was opened and checked after it was made.
    pub verified: bool,
}

/// What there is to count in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages of the main file.
    pub pages: u64,
    /// Of them, pages that hold nothing.
    pub free_pages: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// What was written since the agent started.
    pub writes: Writes,
}

/// Which state a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// What was wanted.
    Target,
    /// What was there.
    Current,
}

/// A past state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows with each snapshot.
    pub id: i64,
    /// Of what.
    pub kind: SnapshotKind,
    /// When, ms since 1970, if the clock was trusted.
    pub taken_ms: Option<i64>,
    /// Where a target came from.
    pub source: Option<String>,
    /// Whether only releases and images are left of a target that was too long to keep.
    pub shortened: bool,
    /// The state, JSON.
    pub state: String,
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

    /// Takes note of an event. It is written together with the next commit that writes anything, or by [`Store::flush`].
    fn note(&self, _event: &Event) {}

    /// Writes the events that were noted and not written yet; nothing when there are none.
    ///
    /// # Errors
    /// Then they stay noted.
    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives space back when much of the file holds nothing. For times when nothing else is to be done.
    ///
    /// # Errors
    /// Then it is as before.
    async fn tidy(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Every snapshot that is kept, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn history(&self) -> Result<Vec<Snapshot>, StoreError> {
        Ok(Vec::new())
    }

    /// Counts what is in the database and what was written.
    ///
    /// # Errors
    /// When the database cannot be read.
    async fn figures(&self) -> Result<Figures, StoreError> {
        Ok(Figures::default())
    }
}
