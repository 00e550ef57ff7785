//! Why a database could not be opened, by what is to be done about it.

use std::path::Path;

use rusqlite::ErrorCode;

use super::super::error::StoreError;
use super::super::migrations::MigrationError;

/// Extended result code of a read that the storage refused.
const IOERR_READ: i32 = 266;

/// Why a database could not be opened.
pub(in crate::store) enum Trouble {
    /// There is none.
    Missing,
    /// The file or what stands in it is broken: another has to take its place.
    Damaged(String),
    /// A newer agent wrote it, and it cannot be taken back.
    Ahead {
        /// Its schema version.
        found: u32,
        /// Why not.
        why: String,
    },
    /// Anything else. The file is as it was, the same may be tried again.
    Refused(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Refused(error)
    }
}

impl Trouble {
    /// What an error of SQLite's means for the file.
    pub fn of(path: &Path, error: &rusqlite::Error) -> Trouble {
        if is_damage(error) { Trouble::Damaged(error.to_string()) } else { Trouble::Refused(StoreError::sqlite(path, error)) }
    }

    /// What a failed migration means for the file: nothing, as long as the file itself is whole.
    pub fn of_migration(path: &Path, error: &MigrationError) -> Trouble {
        match error {
            MigrationError::Step { cause, .. } | MigrationError::Sqlite(cause) if is_corruption(cause) => {
                Trouble::Damaged(error.to_string())
            }
            _ => {
                let remedy = "the schema is as it was before: see that there is free space, else run the agent of before";
                Trouble::Refused(StoreError::failed(path, format!("{error}; {remedy}")))
            }
        }
    }
}

/// SQLite found its own structures broken, or the storage does not give them back.
pub(in crate::store) fn is_corruption(error: &rusqlite::Error) -> bool {
    let damaged = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    damaged || error.sqlite_error().is_some_and(|error| error.extended_code == IOERR_READ)
}

/// The same, or what stands in the file is not what the agent writes: a table that is not there, a text that is none.
fn is_damage(error: &rusqlite::Error) -> bool {
    let Some(code) = error.sqlite_error_code() else { return true };
    is_corruption(error) || matches!(code, ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::TypeMismatch)
}
