//! Sets a file aside.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use holdfast_plan::policy::Now;

use super::super::backup::utc;
use super::super::data_dir::beside;
use super::super::error::StoreError;
use super::super::place::Place;
use crate::settings::sync_folder;

/// How many databases stay set aside.
const KEPT: usize = 5;
/// And how much room they may take together, bytes. The newest stays whatever its size.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// Moves the database with its log into a folder of its own below `damaged/` and returns that folder; `None` when there was
/// nothing. The log goes first and durably: beside another file of the database's name it would be replayed into that one.
pub(in crate::store) fn set_aside(place: &Place, why: &str, now: Now) -> Result<Option<PathBuf>, StoreError> {
    let database = &place.database;
    let bytes = |suffix: &str| fs::symlink_metadata(beside(database, suffix)).ok().map(|file| file.len());
    let logs: Vec<&str> = ["-wal", "-shm", "-journal"].into_iter().filter(|suffix| bytes(suffix).is_some()).collect();
    let file = bytes("").is_some_and(|bytes| bytes > 0);
    // The index of a log is nothing without it.
    if !file && !logs.iter().any(|suffix| *suffix != "-shm" && bytes(suffix) > Some(0)) {
        return Ok(None);
    }
    let folder =
        new_folder(place, now).map_err(|error| StoreError::io(&place.damaged(), "nothing can be set aside there", &error))?;
    // For people only; on a full disk the file is worth more than the note.
    let _ = fs::write(folder.join("reason"), format!("{why}\n"));
    move_all(place, &folder, &logs, file).map_err(|error| StoreError::io(database, "it cannot be set aside", &error))?;
    bound(&place.damaged());
    Ok(Some(folder))
}

fn move_all(place: &Place, folder: &Path, logs: &[&str], file: bool) -> io::Result<()> {
    let into = |suffix: &str| {
        let from = beside(&place.database, suffix);
        fs::rename(&from, folder.join(from.file_name().unwrap_or_default()))
    };
    for suffix in logs {
        into(suffix)?;
    }
    sync_folder(place.folder())?;
    sync_folder(folder)?;
    if file {
        into("")?;
        sync_folder(place.folder())?;
        sync_folder(folder)?;
    }
    Ok(())
}

fn new_folder(place: &Place, now: Now) -> io::Result<PathBuf> {
    let damaged = place.damaged();
    DirBuilder::new().recursive(true).mode(0o700).create(&damaged)?;
    let sequence = folders(&damaged).first().map_or(1, |(sequence, _)| sequence.saturating_add(1));
    let folder = damaged.join(format!("{sequence:06}-{}", utc(now.machine_ms)));
    DirBuilder::new().mode(0o700).create(&folder)?;
    sync_folder(&damaged)?;
    sync_folder(&place.data_dir)?;
    Ok(folder)
}

/// The folders of what was set aside, newest first.
pub(in crate::store) fn folders(damaged: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(damaged).into_iter().flatten().flatten();
    let read = |path: PathBuf| {
        let (sequence, _) = path.file_name()?.to_str()?.split_once('-')?;
        Some((sequence.parse().ok()?, path.clone()))
    };
    let mut found: Vec<(u64, PathBuf)> = entries.filter_map(|entry| read(entry.path())).collect();
    found.sort_by(|one, other| other.cmp(one));
    found
}

/// Removes what is beyond the bounds, oldest first, never the newest.
fn bound(damaged: &Path) {
    let mut bytes = 0;
    for (at, (_, folder)) in folders(damaged).into_iter().enumerate() {
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        bytes += files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>();
        if at > 0 && (at >= KEPT || bytes > KEPT_BYTES) {
            match fs::remove_dir_all(&folder) {
                Ok(()) => log::info!("{}: removed, newer ones were set aside since", folder.display()),
                Err(error) => log::warn!("{}: it cannot be removed: {error}", folder.display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now { wall_ms: None, machine_ms: 5_000, boot_ms: 0 }
    }

    fn place(folder: &tempfile::TempDir) -> Place {
        Place::new(folder.path(), &folder.path().join("database.sqlite"))
    }

    #[test]
    fn everything_goes_together_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        assert_eq!(set_aside(&place, "nothing", now()).unwrap(), None);
        for suffix in ["", "-wal", "-shm"] {
            fs::write(beside(&place.database, suffix), format!("content{suffix}")).unwrap();
        }
        let aside = set_aside(&place, "broken", now()).unwrap().unwrap();
        assert_eq!(aside, folder.path().join("damaged/000001-19700101T000005Z"));
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("database.sqlite{suffix}");
            assert_eq!(fs::read_to_string(aside.join(&name)).unwrap(), format!("content{suffix}"));
            assert!(!folder.path().join(name).exists());
        }
        assert_eq!(fs::read_to_string(aside.join("reason")).unwrap(), "broken\n");
        fs::write(beside(&place.database, "-wal"), "left over").unwrap();
        assert!(set_aside(&place, "a log alone", now()).unwrap().unwrap().ends_with("000002-19700101T000005Z"));
    }

    #[test]
    fn the_newest_few_up_to_a_size_and_never_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        for round in 1..=8_u64 {
            fs::write(&place.database, "x").unwrap();
            set_aside(&place, "r", now()).unwrap();
            assert_eq!(folders(&place.damaged()).len() as u64, round.min(KEPT as u64));
        }
        assert_eq!(folders(&place.damaged())[0].0, 8);
        fs::File::create(&place.database).unwrap().set_len(KEPT_BYTES + 1).unwrap();
        set_aside(&place, "huge", now()).unwrap();
        let left = folders(&place.damaged());
        assert_eq!(left.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [9]);
    }
}
