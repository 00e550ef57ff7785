//! The agent replaces itself, with a way back: two slots for other versions of it beside the one in the image.
//!
//! ```text
//! service manager ─▶ holdfast launch ─ exec ─▶ /data/agent/a/holdfast run    what is kept
//!                    (the image's)     or ───▶ /data/agent/b/holdfast run    on trial, or what was kept before
//!                                      or ───▶ the image's own               when neither will do
//! ```
//!
//! | file | what |
//! |---|---|
//! | `record` | what is known of the binaries, as it is stored |
//! | `decide` | pure: which binary is started next, and whether a trial is over |
//! | `folder` | where all of it lies: a small file with a checksum, replaced as a whole; the binaries beside it |
//! | `launch` | the launcher: counts, goes back, turns into the agent; no runtime, no database unless the schema moved |
//! | `exchange` | a new version is obtained, examined, put into the free slot and marked for its trial |
//! | `download`, `examine`, `signature` | parts of that |
//! | `wanted` | the version that device variables ask for |
//! | `verdict` | pure: whether a version on trial has proved itself; and the thread that sees to it that it ends |
//! | `database` | what becomes of the database when a version is gone back from |
//! | `container` | the same promise where the agent is a container |
//! | `shown` | what the API shows, and what it may ask |
//!
//! Only one process writes the record: the launcher or, after it, the agent it turned into; both hold the data directory.

pub mod container;
mod database;
mod decide;
mod download;
mod error;
mod examine;
mod exchange;
mod folder;
mod launch;
mod point;
mod record;
mod shown;
mod signature;
mod verdict;
mod wanted;

pub use error::SlotError;
pub use exchange::{Before, Candidate, Ground, Job, Source, begin, keep_copy, obtain, put};
pub use folder::{Folder, own_sha256};
pub use launch::{Launched, launch};
pub(crate) use point::point;
pub use record::{Binary, Failed, Slot, Slots, Starts, Trial};
pub use shown::{Ask, Shown, UpdateLink};
pub use signature::{PublicKey, decode as decode_signature};
pub use verdict::{Seen, TrialTime, guard, missing, settled_for};
pub use wanted::{Wanted, sha256_of};

/// How an agent ends that wants to be started anew through the launcher: an exit code that no failure has.
pub const RESTART: u8 = 75;
