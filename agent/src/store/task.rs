//! Work that can be asked for on the database file.

use std::path::PathBuf;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Check every page, index, constraint and reference, and that every row can be read, within a time.
    Check {
        /// How long it may take.
        limit: Duration,
    },
    /// Make a verified copy.
    Backup {
        /// Not when the newest one holds the same already.
        only_if_changed: bool,
    },
    /// Tell which copies there are and what was set aside; each copy is checked.
    List,
    /// Put this copy in the database's place: a path, or a name among the backups.
    Restore {
        /// Which.
        file: PathBuf,
    },
    /// Give pages that are not used back to the file system.
    Vacuum,
    /// Move the log into the file.
    Checkpoint,
    /// Tell the schema version; an open database has the agent's own.
    Migrate,
}

/// How many backups are kept and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At most so many.
    pub count: usize,
    /// None that is older, while the clock can be trusted.
    pub age: Duration,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { count: 7, age: Duration::from_secs(30 * 86_400) }
    }
}
