//! The one thread that has the database.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Loaded};
use super::data_dir::DataLock;
use super::error::StoreError;
use super::interface::{Done, StoreHealth};
use super::open::{Opened, is_corruption};
use super::outcome::Recovery;
use super::place::{Place, remove};
use super::tables;
use super::task::Task;
use super::{backup, upkeep};
use crate::clock::{Clock, SystemClock};

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
    /// Do anything, for tests that need a full disk or a count.
    #[cfg(test)]
    With(Box<dyn FnOnce(&Connection) + Send>),
}

/// The connection and what is known of it.
pub(super) struct Writer {
    opened: Opened,
    place: Place,
    /// The last error of a commit, until one succeeds.
    error: Option<String>,
    /// Turns true when the database has to be opened anew: it was found damaged, or another is to take its place.
    reopen: Arc<watch::Sender<bool>>,
    // Last: the directory is given up after the database is closed.
    lock: DataLock,
}

impl Writer {
    pub fn new(opened: Opened, place: Place, lock: DataLock, reopen: Arc<watch::Sender<bool>>) -> Writer {
        Writer { opened, place, error: None, reopen, lock }
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
        write(&mut self.opened.connection, changes).map_err(|error| self.failed(&error))
    }

    fn upkeep(&mut self, task: &Task) -> Result<Done, StoreError> {
        let done = upkeep::carry_out(&self.opened.connection, &self.place, task, SystemClock.now());
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
        StoreHealth {
            path: self.place.database.display().to_string(),
            open: true,
            schema: self.opened.schema,
            journal_mode: self.opened.journal_mode.clone(),
            size_bytes: std::fs::metadata(&self.place.database).map_or(0, |file| file.len()),
            error: self.error.clone(),
            recovery: self.recovery(),
            backups: backup::listed(&self.place, false).unwrap_or_default(),
        }
    }

    /// What had to be done before the database could be opened.
    pub fn recovery(&self) -> Option<Recovery> {
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

fn write(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        // A commit failed and so did taking it back; without this every later one would fail.
        connection.execute_batch("ROLLBACK")?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in changes {
        tables::write(&transaction, change)?;
    }
    transaction.commit()
}
