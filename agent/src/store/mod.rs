//! What the device cannot get back: one SQLite file, behind `load` and `commit`; and what people ask
//! of it: how it is, what happened, past states.
//!
//! ```text
//! SqliteStore ── commands ──▶ writer thread: data directory's lock, the one connection
//!                                 │ one transaction per commit
//!                                 ▼
//!                             tables/: one file per table group      migrations/: the schema, both ways
//! ```
//!
//! Nothing is written when nothing changes: every statement leaves a row with equal bytes alone, and a transaction that
//! touched no page costs no write and no fsync. [`InlineStore`] is the same without a file, for the simulation.

mod change;
mod data_dir;
mod error;
mod figures;
mod flash;
mod inline;
mod interface;
mod journal;
pub mod migrations;
mod open;
mod reading;
mod sqlite;
mod tables;
mod writer;

pub use change::{Change, KeyOwner, LOCAL_SOURCE, Loaded, StoredTarget, target_source};
pub use data_dir::DataLock;
pub use error::StoreError;
pub use flash::{Writes, Written, WrittenOnDay};
pub use inline::{InlineFailure, InlineStore};
pub use interface::{BackupInfo, Figures, Snapshot, SnapshotKind, Store, StoreHealth};
pub use open::APPLICATION_ID;
pub use reading::history_of;
pub use sqlite::SqliteStore;
