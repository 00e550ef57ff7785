//! What the device cannot get back: one SQLite file, three calls (`load`, `commit`, `health`).
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
mod inline;
mod interface;
pub mod migrations;
mod open;
mod relocate;
mod sqlite;
mod tables;
mod writer;

pub use change::{Change, KeyOwner, LOCAL_SOURCE, Loaded, StoredTarget};
pub use data_dir::DataLock;
pub use error::StoreError;
pub use inline::{InlineFailure, InlineStore};
pub use interface::{Store, StoreHealth};
pub use open::APPLICATION_ID;
pub use relocate::{Moved, relocate};
pub use sqlite::SqliteStore;
