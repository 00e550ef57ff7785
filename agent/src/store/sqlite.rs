//! The store in an SQLite file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Change, Loaded};
use super::data_dir::DataLock;
use super::error::StoreError;
use super::event_log::{EventPage, EventRange};
use super::interface::{Done, Figures, Snapshot, Store, StoreHealth};
use super::journal::Journal;
use super::open::open;
use super::outcome::Recovery;
use super::place::Place;
use super::tables;
use super::task::Task;
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
    recovery: Option<Recovery>,
    fully_checked: bool,
    reopen: Arc<watch::Sender<bool>>,
    journal: Arc<Mutex<Journal>>,
}

impl SqliteStore {
    /// Takes the data directory, opens the database (making both when they are missing), checks it and brings its schema
    /// up to date. One that is damaged or missing is set aside and a backup restored, else begun anew; a newer agent's is
    /// taken back. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`StoreError::Held`] when another agent runs. Another application's database is refused and left as it is, and so is
    /// a newer agent's without a way back. After any error the same call may be made again, for example once a partition is
    /// writable.
    pub fn open(data_dir: &Path, database: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_at(Place::new(data_dir, database))
    }

    /// The same with everything that can be said about where it is.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_at(place: Place) -> Result<SqliteStore, StoreError> {
        let lock = DataLock::take(&place.data_dir)?;
        let path = place.database.clone();
        let opened = open(&place, SystemClock.now())?;
        let (recovery, fully_checked) = (opened.recovery.clone(), opened.fully_checked);
        // What cannot be read now is an error of the first who asks for events.
        let newest = tables::event::bounds(&opened.connection).ok().flatten().map_or(0, |(_, newest)| newest);
        let journal = Arc::new(Mutex::new(Journal::after(newest)));
        let reopen = Arc::new(watch::Sender::new(false));
        let writer = Writer::new(opened, place, lock, journal.clone(), reopen.clone());
        let (commands, receiver) = mpsc::channel(WAITING_COMMANDS);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(receiver));
        let thread = thread.map_err(|error| StoreError::io(&path, "its thread cannot be started", &error))?;
        Ok(SqliteStore { commands: Some(commands), thread: Some(thread), path, recovery, fully_checked, reopen, journal })
    }

    /// What had to be done before the database could be opened.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// Whether the check at the start went over everything; else the rest is due in idle time.
    pub fn fully_checked(&self) -> bool {
        self.fully_checked
    }

    /// Turns true when the database has to be opened anew: it was found damaged, or another is to take its place.
    pub fn reopen(&self) -> watch::Receiver<bool> {
        self.reopen.subscribe()
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

    async fn upkeep(&self, task: Task) -> Result<Done, StoreError> {
        self.ask(|reply| Command::Upkeep { task, reply }).await?
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

    async fn events(&self, range: EventRange, most: usize) -> Result<EventPage, StoreError> {
        self.ask(|reply| Command::Events { range, most, reply }).await?
    }

    fn newest_event(&self) -> watch::Receiver<i64> {
        locked(&self.journal).told.subscribe()
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
