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
//! | file | what |
//! |---|---|
//! | `open`, `integrity` | whose file it is, whether it is whole, its schema |
//! | `recover` | what cannot be used is set aside; a backup takes its place, or it is begun anew |
//! | `backup` | verified copies |
//! | `upkeep`, `offline` | checks, copies and the like, by the writer while an agent runs, on the file while none does |
//!
//! Nothing is written when nothing changes: every statement leaves a row with equal bytes alone, and a transaction that
//! touched no page costs no write and no fsync. [`InlineStore`] is the same without a file, for the simulation.

mod backup;
mod change;
mod data_dir;
mod error;
mod figures;
mod flash;
mod inline;
mod integrity;
mod interface;
mod journal;
pub mod migrations;
mod offline;
mod open;
mod outcome;
mod place;
mod reading;
mod recover;
mod relocate;
mod sqlite;
mod tables;
mod task;
mod upkeep;
mod writer;

pub use change::{Change, KeyOwner, LOCAL_SOURCE, Loaded, StoredKey, StoredTarget, target_source, usual_scopes};
pub use data_dir::DataLock;
pub use error::StoreError;
pub use flash::{Writes, Written, WrittenOnDay};
pub use inline::{InlineFailure, InlineStore};
pub use interface::{BackupInfo, Done, Figures, Snapshot, SnapshotKind, Store, StoreHealth};
pub use offline::{revert_to, work_on_file};
pub use open::APPLICATION_ID;
pub use outcome::{Outcome, Recovery};
pub use place::Place;
pub use reading::history_of;
pub use relocate::{Moved, relocate};
pub use sqlite::SqliteStore;
pub use task::{Keep, Task};
