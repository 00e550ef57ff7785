//! Which backups are kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use holdfast_plan::policy::Now;

use super::super::place::remove;
use super::super::task::Keep;
use super::name::{Named, list};

/// Removes what is not kept. The newest one stays whatever its age, and so does the newest of each other schema version
/// within the age: an agent that is put back needs it.
pub(super) fn tidy(folder: &Path, keep: Keep, now: Now) {
    let Ok(backups) = list(folder) else { return };
    for backup in superfluous(&backups, keep, now) {
        if let Err(error) = remove(Path::new(&backup.info.path)) {
            log::warn!("{}: this backup is not needed any more but cannot be removed: {error}", backup.info.path);
        }
    }
}

/// Removes copies that were begun and never got their name. Whoever made them is gone: only one has the data directory.
pub(super) fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // Also what SQLite had beside one: a kill may come when that alone is left.
        if name.to_string_lossy().contains(".sqlite.new")
            && let Err(error) = remove(&entry.path())
        {
            log::warn!("{}: this copy was never finished but cannot be removed: {error}", entry.path().display());
        }
    }
}

fn superfluous(backups: &[Named], keep: Keep, now: Now) -> Vec<&Named> {
    let age_ms = i64::try_from(keep.age.as_millis()).unwrap_or(i64::MAX);
    let mut schemas = BTreeSet::new();
    let mut gone = Vec::new();
    for (at, backup) in backups.iter().enumerate() {
        let age = now.wall_ms.zip(backup.info.taken_ms).map(|(now, taken)| now.saturating_sub(taken));
        let too_old = age.is_some_and(|age| age > age_ms);
        let first_of_its_schema = schemas.insert(backup.info.schema);
        if at > 0 && (too_old || (at >= keep.count && !first_of_its_schema)) {
            gone.push(backup);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::BackupInfo;

    const DAY_MS: i64 = 86_400_000;
    const NOW_MS: i64 = 1_788_000_000_000;

    fn backups(days_and_schemas: &[(Option<i64>, u32)]) -> Vec<Named> {
        let count = days_and_schemas.len() as u64;
        let named = |(at, (days, schema)): (usize, &(Option<i64>, u32))| Named {
            sequence: count - at as u64,
            info: BackupInfo {
                path: format!("/{at}"),
                taken_ms: days.map(|days| NOW_MS - days * DAY_MS),
                schema: *schema,
                bytes: 1,
                verified: false,
            },
        };
        days_and_schemas.iter().enumerate().map(named).collect()
    }

    fn gone(backups: &[Named], count: usize, wall_ms: Option<i64>) -> Vec<u64> {
        let keep = Keep { count, age: Duration::from_secs(30 * 86_400) };
        let now = Now { wall_ms, machine_ms: wall_ms.unwrap_or(5), boot_ms: 0 };
        superfluous(backups, keep, now).iter().map(|backup| backup.sequence).collect()
    }

    #[test]
    fn what_was_never_finished_goes() {
        let folder = tempfile::tempdir().unwrap();
        let whole = "database-000001-20261121T105735Z-v2.sqlite";
        for suffix in ["", ".new", ".new-journal", ".new-wal", ".new-shm"] {
            fs::write(folder.path().join(format!("{whole}{suffix}")), "x").unwrap();
        }
        remove_unfinished(folder.path());
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [whole]);
    }

    #[test]
    fn by_count_by_age_and_never_the_newest() {
        let all = backups(&[(Some(1), 2), (Some(2), 2), (Some(3), 2), (Some(40), 2)]);
        assert_eq!(gone(&all, 7, Some(NOW_MS)), [1], "too old");
        assert_eq!(gone(&all, 2, Some(NOW_MS)), [2, 1], "too many");
        assert_eq!(gone(&all, 7, None), [] as [u64; 0], "without a clock nothing is old");
        assert_eq!(gone(&backups(&[(Some(400), 1)]), 7, Some(NOW_MS)), [] as [u64; 0], "the only one");
        assert_eq!(gone(&backups(&[(None, 1), (None, 1)]), 7, Some(NOW_MS)), [] as [u64; 0], "taken without a clock");
    }

    #[test]
    fn the_newest_of_another_schema_outlives_the_count_but_not_its_age() {
        let all = backups(&[(Some(1), 3), (Some(2), 3), (Some(3), 2), (Some(4), 2), (Some(31), 1)]);
        assert_eq!(gone(&all, 1, Some(NOW_MS)), [4, 2, 1]);
    }
}
