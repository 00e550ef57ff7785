//! Verified copies of the database.
//!
//! A copy is made with SQLite's online backup under another name, opened, checked and compared, and only then gets its own
//! name: what is called a backup has been one. The log is moved into the database before, so that damage to the log can
//! never take the database back behind its newest backup.

mod keep;
mod name;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_plan::policy::Now;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::data_dir::{beside, ensure_folder};
use super::error::StoreError;
use super::figures;
use super::integrity::{self, Depth, Verdict};
use super::interface::BackupInfo;
use super::migrations::{migrations, recorded_version, version};
use super::open::{APPLICATION_ID, connect, connect_to_read};
use super::place::{Place, remove, remove_database};
use crate::settings::sync_folder;

pub(super) use name::{Named, list, utc};

/// How long the check of one copy may take: it keeps a start waiting.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Makes a verified copy, unless the newest one holds the same already and `only_if_changed`. Returns the backup that holds
/// what the database holds, and whether it is new.
pub(super) fn make(
    connection: &Connection,
    place: &Place,
    only_if_changed: bool,
    now: Now,
) -> Result<(BackupInfo, bool), StoreError> {
    let folder = place.backups();
    ensure_folder(&folder)?;
    keep::remove_unfinished(&folder);
    let present = list(&folder).map_err(|error| StoreError::io(&folder, "the folder cannot be read", &error))?;
    if only_if_changed
        && let Some(newest) = present.first()
        && holds_the_same(connection, newest)
    {
        let verified = BackupInfo { verified: true, ..newest.info.clone() };
        return Ok((verified, false));
    }
    let sequence = present.first().map_or(1, |newest| newest.sequence.saturating_add(1));
    let schema = version(connection).map_err(|error| StoreError::sqlite(&place.database, &error))?;
    let path = folder.join(name::name(sequence, now.machine_ms, schema));
    let partial = beside(&path, ".new");
    let made = copy(connection, &partial).and_then(|()| name_it(&partial, &path));
    if let Err(error) = made {
        // What is left of it only takes room.
        let _ = remove_database(&partial);
        return Err(error);
    }
    keep::tidy(&folder, place.keep, now);
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    let taken_ms = now.wall_ms.map(|ms| ms / 1000 * 1000);
    Ok((BackupInfo { path: path.display().to_string(), taken_ms, schema, bytes, verified: true }, true))
}

/// Whether a backup passes its check and holds exactly what the database holds.
fn holds_the_same(connection: &Connection, backup: &Named) -> bool {
    let file = Path::new(&backup.info.path);
    let same = || {
        let theirs = connect_to_read(file)?;
        Ok::<_, rusqlite::Error>(
            version(connection)? == version(&theirs)? && integrity::fingerprint(connection)? == integrity::fingerprint(&theirs)?,
        )
    };
    same().unwrap_or(false) && verify(file).is_ok()
}

/// Copies the database into a new file and compares the two.
fn copy(connection: &Connection, partial: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(partial, &error);
    // Readers may keep it from moving everything; the copy is whole all the same.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    remove_database(partial).map_err(|error| StoreError::io(partial, "it cannot be made", &error))?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial);
    made.map_err(|error| StoreError::io(partial, "it cannot be made", &error))?;
    let mut target = connect(partial)?;
    // The copy has no name yet: it needs no journal, and is made durable as a whole below.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(failed)?;
    run(connection, &mut target).map_err(failed)?;
    // One file, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(failed)?;
    target.close().map_err(|(_, error)| failed(error))?;
    let synced = File::open(partial).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::io(partial, "it cannot be made durable", &error))?;
    verify(partial)
        .map_err(|why| StoreError::failed(partial, format!("the copy is not what it should be ({why}); none was kept")))?;
    let counted = connect_to_read(partial).and_then(|copied| figures::rows(&copied)).map_err(failed)?;
    if counted != figures::rows(connection).map_err(failed)? {
        return Err(StoreError::failed(partial, "the copy has not the rows the database has; it was not kept"));
    }
    Ok(())
}

fn run(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(from, to)?;
    // The one writer makes the copy: nobody else holds a lock for long.
    for _ in 0..100 {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None))
}

fn name_it(partial: &Path, path: &Path) -> Result<(), StoreError> {
    let renamed = fs::rename(partial, path).and_then(|()| sync_folder(path.parent().unwrap_or(Path::new("/"))));
    renamed.map_err(|error| StoreError::io(path, "it cannot be put in its place", &error))
}

/// Opens a backup and checks it: whose it is, whether it is whole, and, when its schema is known here, whether its rows can
/// be read. Returns its schema version, or what is wrong with it.
pub(super) fn verify(file: &Path) -> Result<u32, String> {
    if !file.is_file() {
        return Err(format!("{} is not there", file.display()));
    }
    let checked = || -> rusqlite::Result<Result<u32, String>> {
        let connection = connect_to_read(file)?;
        let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        if id != APPLICATION_ID {
            return Ok(Err("it is not the agent's".to_owned()));
        }
        match integrity::check(&connection, Depth::Full, CHECK_LIMIT)? {
            Verdict::Whole => {}
            Verdict::Damaged(found) => return Ok(Err(found.join("; "))),
            Verdict::Unfinished => return Ok(Err("its check was not done in time".to_owned())),
        }
        let (stated, recorded) = (version(&connection)?, recorded_version(&connection)?);
        if stated != recorded || stated == 0 {
            return Ok(Err(format!("its schema version is {stated}, its own records say {recorded}")));
        }
        if stated as usize == migrations().len() {
            integrity::decode(&connection)?;
        }
        Ok(Ok(stated))
    };
    checked().unwrap_or_else(|error| Err(error.to_string()))
}

/// Copies a verified backup beside the database, durable, ready to be renamed in.
pub(super) fn fetch(backup: &Path, to: &Path) -> Result<(), StoreError> {
    let copied = remove(to).and_then(|()| fs::copy(backup, to)).and_then(|_| File::open(to)?.sync_all());
    copied.map_err(|error| {
        let _ = remove(to);
        StoreError::io(to, &format!("the backup {} cannot be copied", backup.display()), &error)
    })?;
    super::data_dir::keep_private(to);
    Ok(())
}

/// The backups, newest first; each opened and checked when `checked`.
pub(super) fn listed(place: &Place, checked: bool) -> Result<Vec<BackupInfo>, StoreError> {
    let folder = place.backups();
    let found = list(&folder).map_err(|error| StoreError::io(&folder, "the folder cannot be read", &error))?;
    let look = |backup: Named| {
        let verified = if checked { verify(Path::new(&backup.info.path)).is_ok() } else { looks_whole(&backup.info) };
        BackupInfo { verified, ..backup.info }
    };
    Ok(found.into_iter().map(look).collect())
}

/// Whether a backup has the size its own header tells. It was checked when it got its name.
fn looks_whole(backup: &BackupInfo) -> bool {
    use std::io::Read;
    let mut header = [0; 32];
    if File::open(&backup.path).and_then(|mut file| file.read_exact(&mut header)).is_err() {
        return false;
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u64::from(size),
    };
    page * u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]])) == backup.bytes
}

/// Where a name or path given by a person leads: a path as it is, a bare name into the folder of backups.
pub(super) fn find(place: &Place, given: &Path) -> PathBuf {
    if given.components().count() > 1 { given.to_owned() } else { place.backups().join(given) }
}

#[cfg(test)]
mod tests;
