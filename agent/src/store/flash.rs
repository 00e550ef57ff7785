//! What is written to flash, by cause: exact bytes as the kernel counts them for this thread, syncs by SQLite's rules.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use holdfast_plan::memory::Remember;
use serde::Serialize;

use super::change::Change;
use super::task::Task;

/// The kernel's account of what a thread handed to `write`.
const THREAD_IO: &str = "/proc/thread-self/io";
/// Days that are told apart.
const DAYS: usize = 8;
const DAY_MS: i64 = 86_400_000;
/// Bytes of the header of a write-ahead log: it is written anew whenever the log begins anew.
const LOG_HEADER_BYTES: usize = 32;

/// Why something was written. A commit of several changes counts for the first of them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Target,
    Memory,
    Image,
    Key,
    Value,
    Snapshot,
    Event,
    Checkpoint,
    Vacuum,
    Backup,
}

impl Cause {
    /// The cause of a commit.
    pub fn of(changes: &[Change]) -> Cause {
        changes.iter().map(Cause::of_one).min().unwrap_or(Cause::Event)
    }

    fn of_one(change: &Change) -> Cause {
        match change {
            Change::DropTarget { .. } | Change::Target(_) => Cause::Target,
            Change::Remember(Remember::Image(_) | Remember::ForgetImage { .. }) => Cause::Image,
            Change::Remember(_) => Cause::Memory,
            Change::ApiKey { .. } | Change::DropKey { .. } | Change::KeyScopes { .. } => Cause::Key,
            Change::Value { .. } => Cause::Value,
            Change::Snapshot { .. } => Cause::Snapshot,
        }
    }

    /// The cause of work on the file.
    pub fn of_task(task: &Task) -> Cause {
        match task {
            Task::Vacuum => Cause::Vacuum,
            Task::Checkpoint => Cause::Checkpoint,
            _ => Cause::Backup,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Cause::Target => "target",
            Cause::Memory => "memory",
            Cause::Image => "image",
            Cause::Key => "key",
            Cause::Value => "value",
            Cause::Snapshot => "snapshot",
            Cause::Event => "event",
            Cause::Checkpoint => "checkpoint",
            Cause::Vacuum => "vacuum",
            Cause::Backup => "backup",
        }
    }
}

/// How much was written for one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Written {
    /// How often.
    pub times: u64,
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Waits for the storage to have them.
    pub syncs: u64,
}

/// What was written since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// Whether this kernel counts bytes by thread; without it `bytes` stay 0.
    pub bytes_counted: bool,
    /// Since the start, by cause.
    pub since_start: BTreeMap<String, Written>,
    /// By day, the newest last.
    pub days: Vec<WrittenOnDay>,
}

/// What was written on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WrittenOnDay {
    /// Days since 1970-01-01 in UTC; `None` while the clock was not set.
    pub day: Option<i64>,
    /// By cause.
    pub by_cause: BTreeMap<String, Written>,
}

type Account = BTreeMap<Cause, Written>;

/// The account of one thread and one database.
pub(super) struct Flash {
    log: PathBuf,
    journal: Journaling,
    total: Account,
    days: VecDeque<(Option<i64>, Account)>,
}

/// What decides how often a commit waits for the storage.
enum Journaling {
    /// A write-ahead log: once a commit, once more when the log begins anew, and once for its folder at the first time.
    Log { header: Vec<u8>, folder_synced: bool },
    /// A rollback journal: the journal, its folder, the file, and the folder again when the journal goes.
    Rollback,
}

/// The kernel's count before a piece of work.
#[derive(Clone, Copy)]
pub(super) struct Mark(Option<u64>);

impl Flash {
    /// For the database at `path`; `with_log` says whether it is in WAL mode.
    pub fn new(path: &Path, with_log: bool) -> Flash {
        let log = super::data_dir::beside(path, "-wal");
        let journal =
            if with_log { Journaling::Log { header: header(&log), folder_synced: false } } else { Journaling::Rollback };
        Flash { log, journal, total: Account::new(), days: VecDeque::new() }
    }

    /// Whether this kernel counts bytes by thread.
    pub fn counts(&self) -> bool {
        handed_over().is_some()
    }

    /// Before a piece of work on the thread that has the database.
    pub fn mark(&self) -> Mark {
        Mark(handed_over())
    }

    /// After it: what it wrote is put on the account. Returns the bytes.
    pub fn charge(&mut self, cause: Cause, since: Mark, wall_ms: Option<i64>) -> u64 {
        let (Mark(Some(before)), Some(after)) = (since, handed_over()) else { return 0 };
        let bytes = after.saturating_sub(before);
        if bytes == 0 {
            return 0;
        }
        let written = Written { times: 1, bytes, syncs: self.syncs(cause) };
        let day = wall_ms.map(|ms| ms.div_euclid(DAY_MS));
        if self.days.back().is_none_or(|(last, _)| *last != day) {
            self.days.push_back((day, Account::new()));
            if self.days.len() > DAYS {
                self.days.pop_front();
            }
        }
        let today = self.days.back_mut().map(|(_, account)| account);
        for account in [Some(&mut self.total), today].into_iter().flatten() {
            let entry = account.entry(cause).or_default();
            *entry = Written {
                times: entry.times + written.times,
                bytes: entry.bytes + written.bytes,
                syncs: entry.syncs + written.syncs,
            };
        }
        bytes
    }

    fn syncs(&mut self, cause: Cause) -> u64 {
        match &mut self.journal {
            Journaling::Rollback => 4,
            // The log is synced before it is moved into the file, and the file after it.
            Journaling::Log { .. } if cause == Cause::Checkpoint => 2,
            Journaling::Log { header: known, folder_synced } => {
                let now = header(&self.log);
                let begun_anew = std::mem::replace(known, now) != *known;
                1 + u64::from(begun_anew) + u64::from(!std::mem::replace(folder_synced, true))
            }
        }
    }

    /// The account so far.
    pub fn writes(&self) -> Writes {
        let by_cause = |account: &Account| account.iter().map(|(cause, sum)| (cause.word().to_owned(), *sum)).collect();
        Writes {
            bytes_counted: self.counts(),
            since_start: by_cause(&self.total),
            days: self.days.iter().map(|(day, account)| WrittenOnDay { day: *day, by_cause: by_cause(account) }).collect(),
        }
    }
}

/// Bytes this thread has handed to `write` so far; `None` where the kernel does not count them.
fn handed_over() -> Option<u64> {
    let text = std::fs::read_to_string(THREAD_IO).ok()?;
    text.lines().find_map(|line| line.strip_prefix("wchar: "))?.trim().parse().ok()
}

fn header(log: &Path) -> Vec<u8> {
    let mut header = Vec::with_capacity(LOG_HEADER_BYTES);
    // A log that is not there has no header.
    let _ = File::open(log).and_then(|file| file.take(LOG_HEADER_BYTES as u64).read_to_end(&mut header));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_for_its_weightiest_change() {
        let value = Change::Value { name: "n".into(), value: None };
        let snapshot = Change::Snapshot { state: "{}".into() };
        assert_eq!(Cause::of(&[snapshot.clone(), value]), Cause::Value);
        assert_eq!(Cause::of(&[snapshot]), Cause::Snapshot);
        assert_eq!(Cause::of(&[]), Cause::Event);
    }

    #[test]
    fn days_are_told_apart_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut flash = Flash::new(&folder.path().join("d"), true);
        if !flash.counts() {
            return;
        }
        for day in 0..20 {
            let mark = flash.mark();
            std::fs::write(folder.path().join("file"), [0; 1000]).unwrap();
            assert_eq!(flash.charge(Cause::Value, mark, Some(day * DAY_MS + 5)), 1000);
        }
        let mark = flash.mark();
        assert_eq!(flash.charge(Cause::Event, mark, None), 0, "nothing was written");
        let writes = flash.writes();
        assert_eq!((writes.since_start["value"].times, writes.since_start["value"].bytes), (20, 20_000));
        assert!(!writes.since_start.contains_key("event"));
        assert_eq!((writes.days.len(), writes.days.last().unwrap().day), (DAYS, Some(19)));
        assert_eq!(writes.days[0].by_cause["value"].bytes, 1000);
    }
}
