//! The one thread that has the database.

use std::path::PathBuf;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Loaded};
use super::data_dir::DataLock;
use super::error::StoreError;
use super::interface::StoreHealth;
use super::open::Opened;
use super::tables;

/// What the thread is asked.
pub(super) enum Command {
    /// Read everything.
    Load { source: String, uuid: String, reply: oneshot::Sender<Result<Loaded, StoreError>> },
    /// Write changes.
    Commit { changes: Vec<Change>, reply: oneshot::Sender<Result<(), StoreError>> },
    /// Tell how it is.
    Health { reply: oneshot::Sender<StoreHealth> },
    /// Do anything, for tests that need a full disk or a count.
    #[cfg(test)]
    With(Box<dyn FnOnce(&Connection) + Send>),
}

/// The connection and what is known of it.
pub(super) struct Writer {
    opened: Opened,
    path: PathBuf,
    /// The last error of a commit, until one succeeds.
    error: Option<String>,
    // Last: the directory is given up after the database is closed.
    lock: DataLock,
}

impl Writer {
    pub fn new(opened: Opened, path: PathBuf, lock: DataLock) -> Writer {
        Writer { opened, path, error: None, lock }
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
            #[cfg(test)]
            Command::With(action) => action(&self.opened.connection),
        }
    }

    fn load(&mut self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        let transaction = self.opened.connection.transaction();
        let loaded = transaction.and_then(|transaction| tables::load(&transaction, source, uuid));
        loaded.map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        write(&mut self.opened.connection, changes).map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn health(&self) -> StoreHealth {
        StoreHealth {
            path: self.path.display().to_string(),
            open: true,
            schema: self.opened.schema,
            journal_mode: self.opened.journal_mode.clone(),
            size_bytes: std::fs::metadata(&self.path).map_or(0, |file| file.len()),
            error: self.error.clone(),
        }
    }

    fn close(self) {
        let Writer { opened, path, lock, .. } = self;
        let moved = opened.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let closed = opened.connection.close().map_err(|(_, error)| error);
        if let Err(error) = moved.and(closed) {
            // Nothing is lost: what is still in the log is found there at the next start.
            log::warn!("{}: {error} while closing; its log is kept", path.display());
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
