//! The store as the rest of the agent sees it.

use super::change::{Change, Loaded};
use super::error::StoreError;

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
}
