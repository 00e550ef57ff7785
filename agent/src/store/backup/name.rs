//! Names of backups: a sequence number that only grows, because the clock may say 1970; the time all the same; the schema.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::super::interface::BackupInfo;
use crate::clock::EARLIEST_TRUSTED_MS;

/// What a name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Named {
    /// Which, counted from 1.
    pub sequence: u64,
    /// The file with what its name and size tell.
    pub info: BackupInfo,
}

/// The name of a backup taken at a time by the machine's clock, whatever that says.
pub(super) fn name(sequence: u64, machine_ms: i64, schema: u32) -> String {
    format!("database-{sequence:06}-{}-v{schema}.sqlite", utc(machine_ms))
}

/// A time as it stands in names.
pub(in crate::store) fn utc(machine_ms: i64) -> String {
    let sql = "SELECT strftime('%Y%m%dT%H%M%SZ', ?1 / 1000, 'unixepoch')";
    let text = in_memory(|connection| connection.query_row(sql, [machine_ms], |row| row.get::<_, Option<String>>(0)));
    text.flatten().unwrap_or_else(|| "19700101T000000Z".to_owned())
}

fn from_utc(text: &str) -> Option<i64> {
    if text.len() != 16 || !text.is_ascii() {
        return None;
    }
    let iso = format!("{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]);
    let sql = "SELECT CAST(strftime('%s', ?1) AS INTEGER)";
    let seconds = in_memory(|connection| connection.query_row(sql, [iso], |row| row.get::<_, Option<i64>>(0)).optional());
    seconds.flatten().flatten().map(|seconds| seconds.saturating_mul(1000))
}

/// SQLite knows calendars; no file is needed for that.
fn in_memory<T>(ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
    Connection::open_in_memory().and_then(|connection| ask(&connection)).ok()
}

/// What a file's name tells; `None` when it is no backup's.
fn read(path: &Path, bytes: u64) -> Option<Named> {
    let stem = path.file_name()?.to_str()?.strip_prefix("database-")?.strip_suffix(".sqlite")?;
    let (sequence, rest) = stem.split_once('-')?;
    let (time, schema) = rest.split_once("-v")?;
    let taken_ms = from_utc(time)?;
    let info = BackupInfo {
        path: path.display().to_string(),
        taken_ms: (taken_ms >= EARLIEST_TRUSTED_MS).then_some(taken_ms),
        schema: schema.parse().ok()?,
        bytes,
        verified: false,
    };
    Some(Named { sequence: sequence.parse().ok()?, info })
}

/// The backups of a folder, newest first; a folder that is not there has none. Nothing is looked at but names and sizes.
pub(in crate::store) fn list(folder: &Path) -> io::Result<Vec<Named>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<Named> = entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok().filter(|metadata| metadata.is_file())?)))
        .filter_map(|(path, metadata)| read(&path, metadata.len()))
        .collect();
    found.sort_by_key(|backup| std::cmp::Reverse(backup.sequence));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_given() {
        let folder = tempfile::tempdir().unwrap();
        for (sequence, ms, schema) in [(1, 0, 1), (12, 1_788_000_000_000, 3), (1_000_000, 4_102_444_800_000, 12)] {
            let name = name(sequence, ms, schema);
            fs::write(folder.path().join(&name), "x").unwrap();
            let found = list(folder.path()).unwrap().into_iter().find(|found| found.sequence == sequence).unwrap();
            let taken_ms = (ms > 0).then_some(ms);
            assert_eq!((found.info.taken_ms, found.info.schema, found.info.bytes), (taken_ms, schema, 1), "{name}");
        }
        assert_eq!(name(7, 1_788_000_000_000, 2), "database-000007-20260829T104000Z-v2.sqlite");
        assert_eq!(list(folder.path()).unwrap()[0].sequence, 1_000_000);
    }

    #[test]
    fn what_is_no_backup_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["x", "database-1.sqlite", "database-1-20260829T092000Z-v1.sqlite.new", "database--20260829T092000Z-v1.sqlite"]
        {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        fs::write(folder.path().join("database-1-2026é829T09200Z-v1.sqlite"), "x").unwrap();
        fs::create_dir(folder.path().join("database-000001-20260829T092000Z-v1.sqlite")).unwrap();
        assert_eq!(list(folder.path()).unwrap(), []);
        assert_eq!(list(&folder.path().join("missing")).unwrap(), []);
        assert_eq!(utc(i64::MAX), "19700101T000000Z", "whatever the clock says: a name");
    }
}
