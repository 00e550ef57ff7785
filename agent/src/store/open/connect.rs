//! Connections and what they are told.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::error::StoreError;

/// How long a commit waits for another program's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What every connection is told. The cache is small: the agent reads everything once, then writes single rows.
const PRAGMAS: &str = "PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -512;";

/// Bytes a WAL is cut to after a checkpoint.
pub(super) const JOURNAL_LIMIT_BYTES: u32 = 4 * 1024 * 1024;

/// Opens a file that is there, to write.
pub(in crate::store) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = plain(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| StoreError::sqlite(path, &error))?;
    // SQLite falls back to reading only without a word.
    if connection.is_readonly("main").map_err(|error| StoreError::sqlite(path, &error))? {
        return Err(StoreError::io(path, "it cannot be written", &io::Error::from(io::ErrorKind::ReadOnlyFilesystem)));
    }
    Ok(connection)
}

/// Opens a file that is there, to read: everything comes from the file, nothing from what another connection has cached.
pub(in crate::store) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = plain(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -512;")?;
    Ok(connection)
}

fn plain(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Sets a connection up for use and tells the journal mode it got.
pub(in crate::store) fn configure(connection: &Connection) -> rusqlite::Result<String> {
    connection.execute_batch(PRAGMAS)?;
    let journal_mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}"), [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(journal_mode)
}
