//! What the device cannot get back: one SQLite file, three calls (`load`, `commit`, `health`).

use std::collections::BTreeMap;

use holdfast_plan::memory::{Memory, Remember};
use holdfast_plan::target::AppId;

/// A target as it came, with the ETag that goes with it. The text is the authority; it is parsed again at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTarget {
    /// The cloud it came from (`apiEndpoint`), or `local`. A target of another cloud or device is not this device's.
    pub source: String,
    /// The device it is for.
    pub uuid: String,
    /// The cloud's ETag.
    pub etag: Option<String>,
    /// The body as received.
    pub body: String,
}

/// Whose local-API key it is: a service's, or (`None`) the global one.
pub type KeyOwner = Option<(AppId, String)>;

/// Everything the agent starts from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The target in force, per source and uuid the newest.
    pub target: Option<StoredTarget>,
    /// What decisions remember.
    pub memory: Memory,
    /// Local-API keys.
    pub api_keys: BTreeMap<KeyOwner, String>,
    /// Other values by name.
    pub values: BTreeMap<String, String>,
}

/// One change. A commit of several is one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new target takes force.
    Target(StoredTarget),
    /// Memory of decisions.
    Remember(Remember),
    /// A local-API key was made.
    ApiKey {
        /// Whose.
        owner: KeyOwner,
        /// 32 hex digits.
        key: String,
    },
    /// A named value was set or (`None`) removed.
    Value {
        /// Name.
        name: String,
        /// Value.
        value: Option<String>,
    },
}

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

/// The store.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// Reads everything.
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError>;

    /// Writes changes in one transaction, durable when it returns. Changes that change nothing cost no write.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// How the database is.
    async fn health(&self) -> StoreHealth;
}
