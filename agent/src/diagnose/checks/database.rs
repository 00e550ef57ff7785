//! The database and its backups.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use super::size;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::store::{BackupInfo, backups_of, look_at};

/// Less than a check's own limit, so that it can say how far it came.
const LIMIT: Duration = Duration::from_secs(8);
/// How many intervals a backup may be late.
const LATE: u32 = 3;

const RESTORE: &str = "holdfast diagnose --fix restore-database puts the newest verified backup in its place; \
                       the agent does the same by itself at its next start";

/// Whether every page, index and row of the database can be read.
pub(super) fn database(scene: &Scene) -> Judgement {
    let place = scene.place();
    let path = place.database.display();
    if !place.data_dir.is_dir() {
        return Judgement::failed(
            format!("the data directory {} is not there", place.data_dir.display()),
            "see that the data partition is mounted (check data-partition), or name the folder with --data-dir",
        );
    }
    if !place.database.exists() {
        return Judgement::warning(format!("there is no {path} yet"), "the agent makes it at its first start");
    }
    let done = look_at(&place, LIMIT);
    let bytes = fs::metadata(&place.database).map_or(0, |file| file.len());
    match done.ok {
        true => Judgement::ok(format!("{path} is whole ({})", size(bytes))),
        false if done.findings.is_empty() => Judgement::warning(done.text, "holdfast db check takes the time it needs"),
        false => Judgement::failed(format!("{}: {}", done.text, super::some(&done.findings)), RESTORE),
    }
}

/// Whether there is a verified backup, and none too old.
pub(super) fn backups(scene: &Scene) -> Judgement {
    let place = scene.place();
    let listed = match backups_of(&place, false) {
        Ok(listed) => listed,
        Err(error) => return Judgement::failed(error.to_string(), "see that the data partition is readable"),
    };
    let changed = [place.database.clone(), place.database.with_extension("sqlite-wal")]
        .iter()
        .filter_map(|file| fs::metadata(file).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok())
        .filter_map(|since| i64::try_from(since.as_millis()).ok())
        .max();
    let aside = fs::read_dir(place.damaged()).map_or(0, |entries| entries.take(1000).count());
    judge_backups(&listed, changed, scene.settings.backup_interval, aside)
}

/// `changed_ms` is when the database was last written, `aside` how many damaged ones were set aside.
fn judge_backups(backups: &[BackupInfo], changed_ms: Option<i64>, interval: Duration, aside: usize) -> Judgement {
    let make = "holdfast db backup makes one; the agent makes them by itself while it runs";
    let Some(newest) = backups.first() else {
        return match (changed_ms, interval.is_zero()) {
            (None, _) => Judgement::skipped("there is no database to back up"),
            (_, true) => Judgement::warning("there is no backup, and none is made on a schedule (--backup-interval 0)", make),
            _ => Judgement::warning("there is no backup of the database yet", make),
        };
    };
    if !newest.verified {
        return Judgement::failed(format!("the newest backup, {}, has not the size it should have", newest.path), make);
    }
    let late = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(i64::from(LATE));
    if let (Some(changed), Some(taken)) = (changed_ms, newest.taken_ms)
        && !interval.is_zero()
        && changed.saturating_sub(taken) > late
    {
        let days = changed.saturating_sub(taken) / 86_400_000;
        return Judgement::warning(format!("the newest backup is {days} days older than the database"), make);
    }
    let count = format!("{} backups, the newest {}", backups.len(), newest.path);
    match aside {
        0 => Judgement::ok(count),
        _ => Judgement::warning(
            format!("{count}; {aside} damaged databases were set aside"),
            "a database that was damaged more than once speaks of failing storage: see the checks flash-wear and kernel-log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn backups_are_judged_by_age_and_size() {
        let day = Duration::from_secs(86_400);
        let backup = |taken_ms, verified| BackupInfo { path: "b".into(), taken_ms, verified, ..BackupInfo::default() };
        let verdict = |backups: &[BackupInfo], changed, interval, aside| judge_backups(backups, changed, interval, aside).verdict;
        let now = 100 * DAY_MS;
        assert_eq!(verdict(&[], None, day, 0), Verdict::Skipped);
        assert_eq!(verdict(&[], Some(now), day, 0), Verdict::Warning);
        assert_eq!(verdict(&[], Some(now), Duration::ZERO, 0), Verdict::Warning);
        assert_eq!(verdict(&[backup(Some(now - 3 * DAY_MS), true)], Some(now), day, 0), Verdict::Ok);
        assert_eq!(verdict(&[backup(Some(now - 3 * DAY_MS - 1), true)], Some(now), day, 0), Verdict::Warning);
        assert_eq!(verdict(&[backup(Some(0), true)], Some(now), Duration::ZERO, 0), Verdict::Ok, "nobody asked for more");
        assert_eq!(verdict(&[backup(None, true)], Some(now), day, 0), Verdict::Ok, "its clock was not set");
        assert_eq!(verdict(&[backup(Some(now), false)], Some(now), day, 0), Verdict::Failed);
        assert_eq!(verdict(&[backup(Some(now), true)], Some(now), day, 1), Verdict::Warning);
        assert_eq!(verdict(&[backup(Some(i64::MIN), true)], Some(i64::MAX), day, 0), Verdict::Warning);
    }
}
