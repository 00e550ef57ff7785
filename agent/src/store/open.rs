//! Opening the database: whose it is, what it is made with, whether it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::data_dir::{beside, keep_private};
use super::error::StoreError;
use super::migrations::{MIGRATIONS, MigrationError, migrate, version};

/// SQLite's `application_id` of the agent's database: `HLDF`.
pub const APPLICATION_ID: i32 = i32::from_be_bytes(*b"HLDF");

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
const JOURNAL_LIMIT_BYTES: u32 = 4 * 1024 * 1024;

/// SQLite's file header: magic, and where the application id stands.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: u64 = 100;
const APPLICATION_ID_AT: usize = 68;

/// An open database.
pub(super) struct Opened {
    pub connection: Connection,
    pub schema: u32,
    pub journal_mode: String,
}

enum Found {
    Nothing,
    Ours,
}

/// Opens the database, making it when it is missing. `now_ms` is the wall clock, if it is trusted.
pub(super) fn open(path: &Path, now_ms: Option<i64>) -> Result<Opened, StoreError> {
    if let Found::Nothing = inspect(path)? {
        create(path, now_ms)?;
    }
    for suffix in ["", "-wal", "-shm"] {
        keep_private(&beside(path, suffix));
    }
    let mut connection = connect(path)?;
    refuse_newer(path, &connection)?;
    let journal_mode = configure(&connection).map_err(|error| StoreError::sqlite(path, &error))?;
    if journal_mode != "wal" {
        log::warn!("{}: the file system does not carry a write-ahead log; journal mode {journal_mode} is used", path.display());
    }
    quick_check(path, &connection)?;
    let schema = migrate(&mut connection, MIGRATIONS, now_ms).map_err(|error| migration_failed(path, &error))?;
    Ok(Opened { connection, schema, journal_mode })
}

/// Looks at the file without SQLite, which would touch it.
fn inspect(path: &Path) -> Result<Found, StoreError> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut header));
    match read {
        Ok(0) => return Ok(Found::Nothing),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(StoreError::io(path, "it cannot be read", &error)),
    }
    if header.len() < HEADER_BYTES as usize || !header.starts_with(MAGIC) {
        let message = "it is damaged or not an SQLite database, and was left as it is: restore a backup or move it away";
        return Err(StoreError::failed(path, message));
    }
    let mut id = [0; 4];
    id.copy_from_slice(&header[APPLICATION_ID_AT..APPLICATION_ID_AT + 4]);
    if i32::from_be_bytes(id) == APPLICATION_ID {
        return Ok(Found::Ours);
    }
    let id = u32::from_be_bytes(id);
    let message =
        format!("it is another application's database (application_id {id:#010x}) and was left as it is: name another file");
    Err(StoreError::failed(path, message))
}

/// Makes the database under another name and renames it: a cut leaves none or a whole one. What lies around a missing
/// file is put aside first: SQLite would replay a left-over log into the new file.
fn create(path: &Path, now_ms: Option<i64>) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    super::data_dir::ensure_folder(folder)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let (old, aside) = (beside(path, suffix), beside(path, &format!("{suffix}.left-over")));
        if fs::rename(&old, &aside).is_ok() {
            log::warn!("{} lay there without its database; it is now {}", old.display(), aside.display());
        }
    }
    let new = beside(path, ".new");
    for suffix in ["", "-journal"] {
        // Missing is the ordinary case; one that cannot be removed fails right below.
        let _ = fs::remove_file(beside(&new, suffix));
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    made.map_err(|error| StoreError::io(&new, "it cannot be made", &error))?;
    fill(&new, now_ms)?;
    let renamed = fs::rename(&new, path).and_then(|()| File::open(folder)?.sync_all());
    renamed.map_err(|error| StoreError::io(path, "it cannot be put in its place", &error))
}

fn fill(new: &Path, now_ms: Option<i64>) -> Result<(), StoreError> {
    let mut connection = connect(new)?;
    let prepare =
        format!("PRAGMA synchronous = FULL; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID};");
    connection.execute_batch(&prepare).map_err(|error| StoreError::sqlite(new, &error))?;
    migrate(&mut connection, MIGRATIONS, now_ms).map_err(|error| migration_failed(new, &error))?;
    connection.close().map_err(|(_, error)| StoreError::sqlite(new, &error))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| StoreError::sqlite(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    // SQLite falls back to reading only without a word.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(StoreError::io(path, "it cannot be written", &io::Error::from(io::ErrorKind::ReadOnlyFilesystem)));
    }
    Ok(connection)
}

/// A newer agent's database is refused before anything is written, a checkpoint at closing included.
fn refuse_newer(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| StoreError::sqlite(path, &error);
    let no_checkpoint = |on| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on);
    no_checkpoint(true).map_err(failed)?;
    let (found, known) = (version(connection).map_err(failed)?, MIGRATIONS.len() as u32);
    if found > known {
        return Err(migration_failed(path, &MigrationError::Newer { found, known }));
    }
    no_checkpoint(false).map(|_| ()).map_err(failed)
}

fn configure(connection: &Connection) -> rusqlite::Result<String> {
    connection.execute_batch(PRAGMAS)?;
    let journal_mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}"), [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(journal_mode)
}

fn quick_check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let checked = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let verdict = checked.map_err(|error| StoreError::sqlite(path, &error))?;
    if verdict == "ok" {
        return Ok(());
    }
    let message =
        format!("it is damaged ({verdict}) and was left as it is: restore a backup or move it away with its -wal and -shm");
    Err(StoreError::failed(path, message))
}

fn migration_failed(path: &Path, error: &MigrationError) -> StoreError {
    let remedy = match error {
        MigrationError::Newer { .. } => "it was left as it is: start the newer agent, or restore a backup of the older schema",
        _ => "the schema is as it was before: see that there is free space, else run the agent of before",
    };
    StoreError::failed(path, format!("{error}; {remedy}"))
}

#[cfg(test)]
mod tests;
