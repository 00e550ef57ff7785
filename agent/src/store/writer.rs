//! The one thread that has the database.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Loaded};
use super::data_dir::{DataLock, beside};
use super::error::StoreError;
use super::event_log::{self, EventPage, EventRange};
use super::figures;
use super::flash::{Cause, Flash};
use super::interface::{BackupInfo, Done, Figures, Snapshot, StoreHealth};
use super::journal::{Journal, Noted};
use super::open::{Opened, is_corruption};
use super::outcome::Recovery;
use super::place::{Place, remove};
use super::tables::{self, Moment, Run};
use super::task::Task;
use super::{backup, upkeep};
use crate::clock::{Clock, SystemClock};
use crate::version::AGENT_VERSION;

/// Bytes of the log after which it is moved into the file.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// Pages that hold nothing and are given back only together: moving pages is writing, too.
const FREE_PAGES_LEAST: u64 = 256;
/// The part of the file (one in so many) that has to hold nothing before it is made smaller.
const FREE_PART: u64 = 4;

/// What the thread is asked.
pub(super) enum Command {
    /// Read everything.
    Load { source: String, uuid: String, reply: oneshot::Sender<Result<Loaded, StoreError>> },
    /// Write changes.
    Commit { changes: Vec<Change>, reply: oneshot::Sender<Result<(), StoreError>> },
    /// Tell how it is.
    Health { reply: oneshot::Sender<StoreHealth> },
    /// Work on the file.
    Upkeep { task: Task, reply: oneshot::Sender<Result<Done, StoreError>> },
    /// Write the events that wait.
    Flush { reply: oneshot::Sender<Result<(), StoreError>> },
    /// Give free space back.
    Tidy { reply: oneshot::Sender<Result<(), StoreError>> },
    /// Read the snapshots.
    History { reply: oneshot::Sender<Result<Vec<Snapshot>, StoreError>> },
    /// Read events.
    Events { range: EventRange, most: usize, reply: oneshot::Sender<Result<EventPage, StoreError>> },
    /// Count.
    Figures { reply: oneshot::Sender<Result<Figures, StoreError>> },
    /// Do anything, for tests that need a full disk or a count.
    #[cfg(test)]
    With(Box<dyn FnOnce(&Connection) + Send>),
}

/// The connection and what is known of it.
pub(super) struct Writer {
    opened: Opened,
    place: Place,
    journal: Arc<Mutex<Journal>>,
    flash: Flash,
    run: Run,
    /// Bytes that went into the log since it was last moved into the file; `None` where SQLite itself sees to that.
    in_log: Option<u64>,
    /// The last error of a commit, until one succeeds.
    error: Option<String>,
    /// Turns true when the database has to be opened anew: it was found damaged, or another is to take its place.
    reopen: Arc<watch::Sender<bool>>,
    // Last: the directory is given up after the database is closed.
    lock: DataLock,
}

/// The journal stays usable when somebody panicked with it: each note is whole or not there.
pub(super) fn locked(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What events of this process are filed under.
fn this_run() -> Run {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let started_boot_ms = SystemClock.now().boot_ms.max(0);
    Run { boot_id: boot_id.trim().to_owned(), started_boot_ms, agent_version: AGENT_VERSION }
}

impl Writer {
    pub fn new(
        opened: Opened,
        place: Place,
        lock: DataLock,
        journal: Arc<Mutex<Journal>>,
        reopen: Arc<watch::Sender<bool>>,
    ) -> Writer {
        let flash = Flash::new(&place.database, opened.journal_mode == "wal");
        let in_log = take_checkpoints_over(&opened, &place.database, &flash);
        Writer { opened, place, journal, flash, run: this_run(), in_log, error: None, reopen, lock }
    }

    /// Serves until every sender is gone, then closes the database. An error ends a command, never the thread.
    pub fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            self.serve(command);
        }
        self.close();
    }

    fn serve(&mut self, command: Command) {
        // Whoever asked may have left; nobody then needs the answer.
        match command {
            Command::Load { source, uuid, reply } => {
                let _ = reply.send(self.load(&source, &uuid));
            }
            Command::Commit { changes, reply } => {
                let outcome = self.commit(&changes);
                self.error = outcome.as_ref().err().map(ToString::to_string);
                let _ = reply.send(outcome);
                self.checkpoint_if_due();
            }
            Command::Flush { reply } => {
                let outcome = self.flush();
                self.error = outcome.as_ref().err().map(ToString::to_string).or(self.error.take());
                let _ = reply.send(outcome);
                self.checkpoint_if_due();
            }
            Command::Tidy { reply } => {
                let _ = reply.send(self.tidy());
            }
            Command::History { reply } => {
                let read = tables::snapshot::all(&self.opened.connection);
                let _ = reply.send(read.map_err(|error| self.failed(&error)));
            }
            Command::Events { range, most, reply } => {
                let read = event_log::read(&self.opened.connection, &self.journal, range, most);
                let _ = reply.send(read.map_err(|error| self.failed(&error)));
            }
            Command::Figures { reply } => {
                let counted = figures::figures(&self.opened.connection, &self.place.database, self.flash.writes());
                let _ = reply.send(counted.map_err(|error| self.failed(&error)));
            }
            Command::Health { reply } => {
                let _ = reply.send(self.health());
            }
            Command::Upkeep { task, reply } => {
                let restores = matches!(task, Task::Restore { .. });
                let done = self.upkeep(&task);
                let reopen = restores && done.is_ok();
                let _ = reply.send(done);
                if reopen {
                    self.reopen.send_replace(true);
                }
            }
            #[cfg(test)]
            Command::With(action) => action(&self.opened.connection),
        }
    }

    fn load(&mut self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        let transaction = self.opened.connection.transaction();
        let loaded = transaction.and_then(|transaction| tables::load(&transaction, source, uuid));
        loaded.map_err(|error| self.failed(&error))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(changes, Cause::of(changes))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if locked(&self.journal).is_empty() {
            return Ok(());
        }
        self.write(&[], Cause::Event)
    }

    /// Writes changes and the events that wait. Events never hold a change up: if it does not work with them, it is tried
    /// without.
    fn write(&mut self, changes: &[Change], cause: Cause) -> Result<(), StoreError> {
        let now = SystemClock.now();
        let (noted, retention_ms) = {
            let mut journal = locked(&self.journal);
            (journal.take(now.wall_ms, now.boot_ms), journal.retention_ms)
        };
        let mark = self.flash.mark();
        let moment = Moment { run: &self.run, wall_ms: now.wall_ms, boot_ms: now.boot_ms };
        let batch = Batch { changes, noted: &noted, retention_ms, moment };
        let mut outcome = batch.write(&mut self.opened.connection);
        if outcome.is_err() && !changes.is_empty() && !noted.is_empty() {
            let alone = Batch { noted: &[], ..batch };
            outcome = alone.write(&mut self.opened.connection).map(|_| false);
        }
        if !matches!(outcome, Ok(true)) {
            locked(&self.journal).give_back(noted);
        }
        let bytes = self.flash.charge(cause, mark, now.wall_ms);
        self.in_log = self.in_log.map(|in_log| in_log.saturating_add(bytes));
        outcome.map(drop).map_err(|error| self.failed(&error))
    }

    /// Moves the log into the file when it has grown long. Done here and not by SQLite so that it is known what it costs.
    fn checkpoint_if_due(&mut self) {
        if self.in_log.is_some_and(|in_log| in_log >= CHECKPOINT_BYTES) {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let mark = self.flash.mark();
        // What a reader holds back is moved the next time; an error shows up again with the next commit.
        let _ = self.opened.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        self.flash.charge(Cause::Checkpoint, mark, SystemClock.now().wall_ms);
        self.in_log = self.in_log.map(|_| 0);
    }

    /// Makes the file smaller when a good part of it holds nothing.
    fn tidy(&mut self) -> Result<(), StoreError> {
        let connection = &self.opened.connection;
        let pages = |name| figures::pragma(connection, name).map_err(|error| self.failed(&error));
        let (free, all) = (pages("freelist_count")?, pages("page_count")?);
        if free < FREE_PAGES_LEAST || free.saturating_mul(FREE_PART) < all {
            return Ok(());
        }
        let mark = self.flash.mark();
        let vacuumed = vacuum(connection);
        self.flash.charge(Cause::Vacuum, mark, SystemClock.now().wall_ms);
        // Only when the log is in the file does the file get smaller.
        self.checkpoint();
        vacuumed.map_err(|error| self.failed(&error))
    }

    fn upkeep(&mut self, task: &Task) -> Result<Done, StoreError> {
        let (mark, now) = (self.flash.mark(), SystemClock.now());
        let done = upkeep::carry_out(&self.opened.connection, &self.place, task, now);
        let bytes = self.flash.charge(Cause::of_task(task), mark, now.wall_ms);
        // A copy and a checkpoint leave no log behind; what else wrote is in it.
        let moved = matches!(task, Task::Backup { .. } | Task::Checkpoint | Task::Vacuum);
        self.in_log = self.in_log.map(|in_log| if moved { 0 } else { in_log.saturating_add(bytes) });
        if let (Task::Check { .. }, Ok(Done { ok, findings, .. })) = (task, &done) {
            if !findings.is_empty() {
                self.suspect(&findings.join("; "));
            } else if *ok {
                self.opened.fully_checked = true;
            }
        }
        done
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        if is_corruption(error) {
            self.suspect(&error.to_string());
        }
        StoreError::sqlite(&self.place.database, error)
    }

    /// Has the database opened anew, with everything that is done about a damaged one. How often that happened is kept in
    /// the size of a file: one that passes its checks and fails in use all the same must not go round for ever.
    fn suspect(&self, why: &str) {
        log::error!("{}: it was found damaged ({why}); it is opened anew, containers go on", self.place.database.display());
        let mark = OpenOptions::new().append(true).create(true).open(self.place.suspect());
        if let Err(error) = mark.and_then(|mut file| file.write_all(b"!")) {
            log::warn!("{}: it cannot be written: {error}", self.place.suspect().display());
        }
        self.reopen.send_replace(true);
    }

    fn health(&self) -> StoreHealth {
        let partition = figures::partition(&self.place.database);
        StoreHealth {
            path: self.place.database.display().to_string(),
            open: true,
            schema: self.opened.schema,
            journal_mode: self.opened.journal_mode.clone(),
            size_bytes: std::fs::metadata(&self.place.database).map_or(0, |file| file.len()),
            // What cannot be counted is an error of the next commit.
            rows: figures::rows(&self.opened.connection).map_or(0, |rows| rows.values().sum()),
            newest_backup: self.newest_backup(),
            free_bytes: partition.map(|(free, _)| free),
            partition_bytes: partition.map(|(_, all)| all),
            error: self.error.clone(),
            recovery: self.recovery(),
        }
    }

    /// The newest backup by its name, and whether it has the size its header tells; it was checked when it got that name.
    fn newest_backup(&self) -> Option<BackupInfo> {
        backup::listed(&self.place, false).ok()?.into_iter().next()
    }

    /// What had to be done before the database could be opened.
    fn recovery(&self) -> Option<Recovery> {
        self.opened.recovery.clone()
    }

    fn close(self) {
        let Writer { opened, place, reopen, lock, .. } = self;
        if !*reopen.borrow() {
            // It served to the end: what was held against it does not count any more.
            let _ = remove(&place.suspect());
        }
        let moved = opened.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = opened.connection.close().map_err(|(_, error)| error);
        if let Err(error) = moved.and(closed) {
            // Nothing is lost: what is still in the log is found there at the next start.
            log::warn!("{}: {error} while closing; its log is kept", place.database.display());
        }
        drop(lock);
    }
}

/// Where written bytes can be counted the writer moves the log itself; returns what is in it.
fn take_checkpoints_over(opened: &Opened, path: &Path, flash: &Flash) -> Option<u64> {
    if opened.journal_mode != "wal" || !flash.counts() {
        return None;
    }
    opened.connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(())).ok()?;
    Some(std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len()))
}

fn vacuum(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut rows = statement.query([])?;
    // One page a step.
    while rows.next()?.is_some() {}
    Ok(())
}

/// What goes into one transaction.
#[derive(Clone, Copy)]
struct Batch<'a> {
    changes: &'a [Change],
    noted: &'a [Noted],
    retention_ms: i64,
    moment: Moment<'a>,
}

impl Batch<'_> {
    /// Writes it. Events go along only when there is something to go along with, or nothing else: changes that change
    /// nothing stay free. Returns whether they were written.
    fn write(&self, connection: &mut Connection) -> rusqlite::Result<bool> {
        if !connection.is_autocommit() {
            // A commit failed and so did taking it back; without this every later one would fail.
            connection.execute_batch("ROLLBACK")?;
        }
        let before = connection.total_changes();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in self.changes {
            tables::write(&transaction, change, &self.moment)?;
        }
        let with_events = self.changes.is_empty() || transaction.total_changes() > before;
        if with_events {
            tables::event::write(&transaction, self.noted, &self.moment, self.retention_ms)?;
        }
        transaction.commit()?;
        Ok(with_events)
    }
}
