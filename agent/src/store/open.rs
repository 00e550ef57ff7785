//! Opening the database: whose it is, what it is made with, whether it is whole. It ends in one of these:
//!
//! | found | ends in |
//! |---|---|
//! | nothing, and no backup either | a new database |
//! | a whole one, of this schema or an older one | open, after a verified copy and the missing steps |
//! | a damaged one, one whose rows make no sense, or none where there are backups | set aside; a backup restored, else begun anew |
//! | a newer agent's | its steps taken back with their own scripts, else the copy of this agent's version restored |
//! | another application's, a folder, a read-only or full partition | an error; nothing was touched, the same may be tried again |

mod connect;
mod inspect;
mod make;
mod schema;
mod trouble;

use std::fs;
use std::time::Duration;

use holdfast_plan::policy::Now;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::data_dir::{beside, keep_private};
use super::error::StoreError;
use super::integrity::{self, Depth, Verdict};
use super::migrations::migrations;
use super::outcome::{Outcome, Recovery};
use super::place::Place;
use super::recover::{self, Tried};

pub(super) use connect::{configure, connect, connect_to_read};
use inspect::{Found, inspect};
pub(super) use make::{make, put_in};
pub(super) use trouble::{Trouble, is_corruption};

/// SQLite's `application_id` of the agent's database: `HLDF`.
pub const APPLICATION_ID: i32 = i32::from_be_bytes(*b"HLDF");

/// SQLite's file header begins with this.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long the check at the start may take; one that is not done then is done in idle time.
const CHECK_LIMIT: Duration = Duration::from_secs(15);
/// A database up to this size is checked in full at every start: indexes tell of changes in rows that the quick check
/// cannot see, and it takes no longer than reading the file.
const FULL_CHECK_BYTES: u64 = 4 * 1024 * 1024;
/// A file that failed in use so often in spite of passing its check is not used again.
const MOST_SUSPICIONS: u64 = 2;

/// An open database.
pub(super) struct Opened {
    pub connection: Connection,
    pub schema: u32,
    pub journal_mode: String,
    /// What had to be done before it could be opened.
    pub recovery: Option<Recovery>,
    /// Whether every index was checked; else that is due in idle time.
    pub fully_checked: bool,
}

/// Opens the database, making or recovering it as needed.
pub(super) fn open(place: &Place, now: Now) -> Result<Opened, StoreError> {
    let mut tried = Tried::new();
    let mut recovery = recover::put_in_waiting(place, now)?;
    loop {
        let (why, ahead) = match attempt(place, now) {
            Ok(opened) => return Ok(finish(opened, recovery)),
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Missing) if nothing_to_lose(place)? => {
                recover::set_aside(place, "a log without its database", now)?;
                put_in(&make(place, now)?, place)?;
                continue;
            }
            Err(Trouble::Missing) => ("the file is missing".to_owned(), false),
            Err(Trouble::Damaged(why)) => (format!("it is damaged ({why})"), false),
            Err(Trouble::Ahead { found, why }) => {
                let known = migrations().len();
                (format!("it has schema version {found}, this agent knows {known}, and it cannot be taken back ({why})"), true)
            }
        };
        if matches!(&recovery, Some(Recovery { outcome: Outcome::Rebuilt, .. })) {
            return Err(StoreError::failed(
                &place.database,
                format!("{why}, though it was just made: see the kernel log for errors of the storage"),
            ));
        }
        recovery = match recover::restore(place, &why, migrations().len() as u32, &mut tried, now)? {
            Some(restored) => Some(restored),
            None if ahead => {
                let remedy = "it was left as it is: start the newer agent, or restore a backup of the older schema";
                return Err(StoreError::failed(&place.database, format!("{why}; {remedy}")));
            }
            None => Some(recover::rebuild(place, &why, now)?),
        };
    }
}

/// Whether a missing file means a first start: then there are no backups either.
fn nothing_to_lose(place: &Place) -> Result<bool, StoreError> {
    let folder = place.backups();
    let backups = super::backup::list(&folder).map_err(|error| StoreError::io(&folder, "the folder cannot be read", &error))?;
    Ok(backups.is_empty())
}

/// Adds what was done to the file as it was found to what was done to get there.
fn finish(mut opened: Opened, recovery: Option<Recovery>) -> Opened {
    opened.recovery = match (recovery, opened.recovery) {
        (Some(first), Some(then)) => {
            Some(Recovery { outcome: first.outcome, message: format!("{}; then {}", first.message, then.message) })
        }
        (first, then) => first.or(then),
    };
    opened
}

/// Opens the file as it lies there.
fn attempt(place: &Place, now: Now) -> Result<Opened, Trouble> {
    let path = &place.database;
    if let Found::Nothing = inspect(path)? {
        return Err(Trouble::Missing);
    }
    for suffix in ["", "-wal", "-shm"] {
        keep_private(&beside(path, suffix));
    }
    let failed = |error: rusqlite::Error| Trouble::of(path, &error);
    let mut connection = connect(path)?;
    // Until it is known to be usable nothing is written, a checkpoint at closing included.
    let no_checkpoint = |connection: &Connection, on| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on);
    no_checkpoint(&connection, true).map_err(failed)?;
    let found = schema::look(&connection).map_err(failed)??;
    let fully_checked = whole(place, &connection)?;
    let journal_mode = configure(&connection).map_err(failed)?;
    if journal_mode != "wal" {
        log::warn!("{}: the file system does not carry a write-ahead log; journal mode {journal_mode} is used", path.display());
    }
    let reached = schema::bring(&mut connection, place, found, now);
    let recovery = reached?;
    integrity::decode(&connection).map_err(failed)?;
    no_checkpoint(&connection, false).map_err(failed)?;
    Ok(Opened { connection, schema: migrations().len() as u32, journal_mode, recovery, fully_checked })
}

/// Checks the file, within a time; tells whether that was everything there is to check.
fn whole(place: &Place, connection: &Connection) -> Result<bool, Trouble> {
    let path = &place.database;
    let suspicions = fs::metadata(place.suspect()).map_or(0, |file| file.len());
    if suspicions >= MOST_SUSPICIONS {
        return Err(Trouble::Damaged("it failed again and again while it was in use".to_owned()));
    }
    let small = fs::metadata(path).is_ok_and(|file| file.len() <= FULL_CHECK_BYTES);
    let depth = if small || suspicions > 0 { Depth::Full } else { Depth::Quick };
    match integrity::check(connection, depth, CHECK_LIMIT).map_err(|error| Trouble::of(path, &error))? {
        Verdict::Whole => Ok(depth == Depth::Full),
        Verdict::Damaged(found) => Err(Trouble::Damaged(found.join("; "))),
        Verdict::Unfinished => {
            log::warn!(
                "{}: its check was not done within {} s; the rest follows in idle time",
                path.display(),
                CHECK_LIMIT.as_secs()
            );
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests;
