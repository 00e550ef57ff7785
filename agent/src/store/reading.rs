//! Reading the database while no agent has it, without leaving a trace.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::change::Loaded;
use super::data_dir::beside;
use super::error::StoreError;
use super::interface::{BackupInfo, Done, Snapshot};
use super::migrations::version;
use super::place::Place;
use super::tables::{self, snapshot};
use super::{backup, upkeep};

/// Waits so long for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The schema version that brought the table `snapshot`.
const FIRST_WITH_HISTORY: u32 = 2;

/// Every snapshot in a database that no agent has open, newest first. The file is not changed.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn history_of(path: &Path) -> Result<Vec<Snapshot>, StoreError> {
    let failed = |error| StoreError::sqlite(path, &error);
    if let Err(error) = std::fs::metadata(path) {
        return Err(StoreError::io(path, "it cannot be looked at", &error));
    }
    let connection = open(path).map_err(failed)?;
    if version(&connection).map_err(failed)? < FIRST_WITH_HISTORY {
        return Ok(Vec::new());
    }
    snapshot::all(&connection).map_err(failed)
}

/// Checks a database without changing it, for at most so long; whether an agent has it open or not.
pub fn look_at(place: &Place, limit: Duration) -> Done {
    upkeep::check_on(place, limit, open)
}

/// Its backups, newest first; with `checked` each is opened and read whole, else only its size is compared.
///
/// # Errors
/// When their folder cannot be read.
pub fn backups_of(place: &Place, checked: bool) -> Result<Vec<BackupInfo>, StoreError> {
    backup::listed(place, checked)
}

/// What a database holds for this source and uuid.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn content_of(path: &Path, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
    let failed = |error| StoreError::sqlite(path, &error);
    tables::load(&open(path).map_err(failed)?, source, uuid).map_err(failed)
}

/// The last events in a database, newest first, as JSON; none in one of before there were events.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn events_of(path: &Path) -> Result<Vec<serde_json::Value>, StoreError> {
    const LAST: &str = "SELECT id, at_ms, kind, app, service, text, count FROM event ORDER BY id DESC LIMIT 5000";
    let failed = |error| StoreError::sqlite(path, &error);
    let connection = open(path).map_err(failed)?;
    if version(&connection).map_err(failed)? < FIRST_WITH_HISTORY {
        return Ok(Vec::new());
    }
    let mut select = connection.prepare(LAST).map_err(failed)?;
    let rows = select.query_map([], |row| {
        let text = |at| row.get::<_, Option<String>>(at);
        let at: Option<i64> = row.get(1)?;
        let (id, count): (i64, i64) = (row.get(0)?, row.get(6)?);
        Ok(serde_json::json!({
            "id": id, "utc": at.map(crate::calendar::rfc3339), "kind": text(2)?, "app": text(3)?, "service": text(4)?,
            "text": text(5)?, "count": count,
        }))
    });
    rows.and_then(Iterator::collect).map_err(failed)
}

/// An agent that ended in order left no log: then nothing but the file is touched. The log of one that was killed has to be
/// read, for which SQLite needs its shared memory beside it.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = if has_log {
        Connection::open_with_flags(path, flags)?
    } else {
        let uri = format!("file:{}?immutable=1", encoded(path));
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// A path as it stands in a URI.
fn encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => text.push(char::from(*byte)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}
