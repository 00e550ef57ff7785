//! What is imported when the agent starts.

use std::path::Path;

use super::device::Device;
use super::error::ImportError;
use super::imported::Imported;
use super::{IMPORTED_FROM, balena, older, preload, put_away, small_file};
use crate::events::{Event, Level};
use crate::settings::Settings;
use crate::store::{Loaded, Store};

/// What came of it.
#[derive(Debug, Default)]
pub struct Told {
    /// What happened, for the log stream and the store.
    pub events: Vec<Event>,
    /// Whether something was stored: what was loaded before is no longer all there is.
    pub changed: bool,
}

/// Imports what an earlier agent or the device's image left, where this device has no target of its own yet. The first that
/// brings a target ends the search: balena-supervisor's database, an `apps.json`, an older tool's file.
///
/// Nothing in it keeps the agent from starting; what went wrong is an event.
pub async fn at_start(settings: &Settings, store: &dyn Store, loaded: &Loaded, wall_ms: Option<i64>) -> Told {
    let mut start =
        Start { settings, store, loaded, wall_ms, told: Told::default(), has_target: loaded.memory.target_stored, done: false };
    start.balena().await;
    for file in preload::places(settings) {
        start.preload(&file).await;
    }
    start.older().await;
    start.told
}

struct Start<'a> {
    settings: &'a Settings,
    store: &'a dyn Store,
    loaded: &'a Loaded,
    wall_ms: Option<i64>,
    told: Told,
    has_target: bool,
    /// Whether a target was taken over just now: then nothing else is.
    done: bool,
}

impl Start<'_> {
    async fn balena(&mut self) {
        let memory = &self.loaded.memory;
        let is_new = !self.has_target && memory.settled.is_empty() && !self.loaded.values.contains_key(IMPORTED_FROM);
        let Some(file) = balena::find(&self.settings.data_dir).filter(|_| is_new) else { return };
        let settings = self.settings.clone();
        let place = file.clone();
        // A thread of its own: on slow flash a copy takes its time.
        let read = tokio::task::spawn_blocking(move || balena::read(&place, &Device::of(&settings)?, &settings.data_dir)).await;
        let broke_off = |_| Err(ImportError::file(&file, "reading it broke off", "start the agent again"));
        let imported = read.unwrap_or_else(broke_off);
        self.store(&file, imported).await;
    }

    async fn preload(&mut self, file: &Path) {
        let text = match small_file::read_if_there(file) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return self.say(Level::Error, error.to_string()),
        };
        let was_loaded = self.loaded.values.get(preload::LOADED).is_some_and(|digest| *digest == preload::digest(&text));
        if was_loaded {
            // The agent ended between storing and renaming.
            return self.put_away(put_away::preloaded(file));
        }
        let device = Device::of(self.settings);
        if self.done || (self.has_target && device.as_ref().is_ok_and(|device| device.provisioned)) {
            return;
        }
        let imported = device.and_then(|device| preload::read(file, &text, &device));
        if self.store(file, imported).await {
            self.put_away(put_away::preloaded(file));
        }
    }

    async fn older(&mut self) {
        let file = older::place(self.settings);
        if self.has_target {
            // Stored, but not put away: the agent ended in between. Somebody else's file of that name is left.
            let from_here = self.loaded.values.get(IMPORTED_FROM).is_some_and(|from| *from == file.display().to_string());
            if from_here && !self.done && file.is_file() {
                self.put_away(put_away::move_to_archive(&file, &self.settings.data_dir));
            }
            return;
        }
        let text = match small_file::read_if_there(&file) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return self.say(Level::Error, error.to_string()),
        };
        let imported = Device::of(self.settings).and_then(|device| older::read(&file, &text, &device)).map(|mut imported| {
            if !imported.changes.is_empty() {
                imported.came_from(&file.display().to_string());
            }
            imported
        });
        if self.store(&file, imported).await {
            self.put_away(put_away::move_to_archive(&file, &self.settings.data_dir));
        }
    }

    /// Stores what was read, all or nothing, and says so; whether it was stored.
    async fn store(&mut self, file: &Path, imported: Result<Imported, ImportError>) -> bool {
        let imported = match imported {
            Ok(imported) => imported,
            Err(error) => {
                self.say(Level::Error, format!("import: {error}"));
                return false;
            }
        };
        if imported.changes.is_empty() {
            return false;
        }
        if let Err(error) = self.store.commit(imported.changes.clone()).await {
            self.say(Level::Error, format!("import of {}: {error}; tried again at the next start", file.display()));
            return false;
        }
        self.has_target |= imported.has_target;
        self.done |= imported.has_target;
        self.told.changed = true;
        self.say(Level::Info, format!("taken over from {}: {}", file.display(), imported.summary()));
        for remark in &imported.remarks {
            self.say(Level::Warning, format!("import of {}: {remark}", file.display()));
        }
        true
    }

    fn put_away(&mut self, done: Result<std::path::PathBuf, ImportError>) {
        match done {
            Ok(place) => log::info!("kept as {}", place.display()),
            Err(error) => self.say(Level::Warning, format!("{}: {}; it is not loaded again", error.path, error.what)),
        }
    }

    fn say(&mut self, level: Level, message: String) {
        match level {
            Level::Info => log::info!("{message}"),
            Level::Warning => log::warn!("{message}"),
            Level::Error => log::error!("{message}"),
        }
        self.told.events.push(Event::note(level, message, self.wall_ms));
    }
}
