//! The store in an SQLite file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::change::{Change, Loaded};
use super::data_dir::DataLock;
use super::error::StoreError;
use super::interface::{Figures, Snapshot, Store, StoreHealth};
use super::journal::Journal;
use super::open::open;
use super::writer::{Command, Writer, locked};
use crate::clock::{Clock, SystemClock};
use crate::events::Event;

/// Commands that may wait for the thread; more wait at their sender.
const WAITING_COMMANDS: usize = 64;

/// The database, behind the one thread that has it. Dropping the store ends the thread: what was asked before is done, the
/// log is moved into the file, the data directory is given up.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while the store is dropped.
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    journal: Arc<Mutex<Journal>>,
}

impl SqliteStore {
    /// Takes the data directory, opens the database (making both when they are missing), checks it and brings its schema
    /// up to date. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another agent runs. Another application's database, a newer agent's and a damaged one are
    /// refused and left as they are. After any error the same call may be made again, for example once a partition is
    /// writable.
    pub fn open(data_dir: &Path, database: &Path) -> Result<SqliteStore, StoreError> {
        let lock = DataLock::take(data_dir)?;
        let opened = open(database, SystemClock.now().wall_ms)?;
        let journal = Arc::new(Mutex::new(Journal::default()));
        let writer = Writer::new(opened, database.to_owned(), lock, journal.clone());
        let (commands, receiver) = mpsc::channel(WAITING_COMMANDS);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(receiver));
        let thread = thread.map_err(|error| StoreError::io(database, "its thread cannot be started", &error))?;
        Ok(SqliteStore { commands: Some(commands), thread: Some(thread), path: database.to_owned(), journal })
    }

    /// How long events are kept.
    pub fn keep_events(&self, retention: Duration) {
        locked(&self.journal).retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = || StoreError::failed(&self.path, "the thread of the store has ended; restart the agent");
        let commands = self.commands.as_ref().ok_or_else(ended)?;
        commands.send(command(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        let (source, uuid) = (source.to_owned(), uuid.to_owned());
        self.ask(|reply| Command::Load { source, uuid, reply }).await?
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.ask(|reply| Command::Commit { changes, reply }).await?
    }

    async fn health(&self) -> StoreHealth {
        let asked = self.ask(|reply| Command::Health { reply }).await;
        asked.unwrap_or_else(|error| StoreHealth {
            path: self.path.display().to_string(),
            error: Some(error.to_string()),
            ..StoreHealth::default()
        })
    }

    fn note(&self, event: &Event) {
        locked(&self.journal).add(event, SystemClock.now().boot_ms);
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.ask(|reply| Command::Flush { reply }).await?
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        self.ask(|reply| Command::Tidy { reply }).await?
    }

    async fn history(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.ask(|reply| Command::History { reply }).await?
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        self.ask(|reply| Command::Figures { reply }).await?
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("{}: the thread of the store had panicked", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests;
