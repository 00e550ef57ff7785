//! Which folders are watched, and what an event in one of them means.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use inotify::{EventMask, EventOwned, WatchDescriptor, WatchMask, Watches};

use super::folder::Folder;
use super::{HANDOVER_FILES, LOCK_FILES, app_of, is_service_name};

/// How many folders are watched. What is beyond is looked at from time to time instead.
const MAX_WATCHES: usize = 2048;

/// How many missing parts of the lock root's path are gone through in one go while they appear.
const MAX_MISSING: usize = 64;

const ITSELF: WatchMask =
    WatchMask::DELETE_SELF.union(WatchMask::MOVE_SELF).union(WatchMask::ONLYDIR).union(WatchMask::DONT_FOLLOW);
const ENTRIES: WatchMask = ITSELF.union(WatchMask::CREATE).union(WatchMask::DELETE).union(WatchMask::MOVE);
const LOCKS: WatchMask = ENTRIES.union(WatchMask::ATTRIB).union(WatchMask::CLOSE_WRITE);

const GONE: EventMask = EventMask::DELETE_SELF.union(EventMask::MOVE_SELF).union(EventMask::IGNORED).union(EventMask::UNMOUNT);

/// What a watched folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The deepest folder on the way to the lock root that exists; the lock root is waited for by the next name.
    Ancestor(OsString),
    /// The lock root's parent: only its own going matters.
    Parent,
    /// The lock root.
    Root,
    /// An app's folder.
    App,
    /// A service's folder.
    Service,
}

/// What an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing to us.
    Nothing,
    /// A lock may have changed.
    Lock,
    /// Folders came or went: the watches must follow.
    Folders,
    /// Events were lost.
    Lost,
}

/// The folders that are watched.
pub(super) struct Watched {
    root: PathBuf,
    watches: Watches,
    places: HashMap<WatchDescriptor, Place>,
    complete: bool,
}

impl Watched {
    /// Watches nothing yet.
    pub(super) fn new(root: PathBuf, watches: Watches) -> Self {
        Self { root, watches, places: HashMap::new(), complete: true }
    }

    /// Whether every folder that matters is watched.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Lets the watches follow the folders. Says whether any came or went.
    pub(super) fn follow(&mut self) -> bool {
        let before = std::mem::take(&mut self.places);
        self.complete = true;
        if self.watch_root() {
            self.watch_apps();
        } else {
            self.watch_ancestor();
        }
        for wd in before.keys().filter(|wd| !self.places.contains_key(wd)) {
            // Fails when the folder is gone, and the watch with it.
            let _ = self.watches.remove(wd.clone());
        }
        before.len() != self.places.len() || before.keys().any(|wd| !self.places.contains_key(wd))
    }

    /// What an event means.
    pub(super) fn meaning(&self, event: &EventOwned) -> Meaning {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return Meaning::Lost;
        }
        let Some(place) = self.places.get(&event.wd) else { return Meaning::Nothing };
        if event.mask.intersects(GONE) {
            return Meaning::Folders;
        }
        match event.name.as_deref() {
            Some(name) => named(place, name, event.mask.contains(EventMask::ISDIR)),
            None => Meaning::Nothing,
        }
    }

    fn watch_root(&mut self) -> bool {
        // The parent first, without its entries: `/tmp` may be it, and is busy.
        if let Some(parent) = self.root.parent().map(Path::to_owned) {
            self.add(&parent, ITSELF.difference(WatchMask::DONT_FOLLOW), Place::Parent);
        }
        let root = self.root.clone();
        self.add(&root, ENTRIES.difference(WatchMask::DONT_FOLLOW), Place::Root)
    }

    /// Each folder is watched before it is listed: what appears after the list is an event.
    fn watch_apps(&mut self) {
        let Ok(Some(root)) = Folder::root(&self.root) else { return };
        let Ok((apps, surplus)) = root.apps() else { return };
        self.complete &= !surplus;
        for app in apps {
            let path = root.path_of(&app.to_string());
            if !self.add(&path, ENTRIES, Place::App) {
                continue;
            }
            let Ok((services, surplus)) = root.child(&app.to_string()).and_then(|app| app.services()) else { continue };
            self.complete &= !surplus;
            for service in services {
                self.add(&path.join(service), LOCKS, Place::Service);
            }
        }
    }

    /// Watches the deepest folder that exists, until the next one appears in it.
    fn watch_ancestor(&mut self) {
        for _ in 0..MAX_MISSING {
            let Some((folder, missing)) = deepest(&self.root) else { break };
            let place = Place::Ancestor(missing.clone());
            let watched = self.add(&folder, ENTRIES.difference(WatchMask::DONT_FOLLOW), place);
            // It may have appeared before the watch was there.
            if watched && !folder.join(&missing).exists() {
                return;
            }
            if folder.join(&missing) == self.root && self.watch_root() {
                return self.watch_apps();
            }
        }
        self.complete = false;
    }

    /// Adds a watch (or keeps the one there is). Says whether the folder is there and watched.
    fn add(&mut self, path: &Path, mask: WatchMask, place: Place) -> bool {
        if self.places.len() >= MAX_WATCHES {
            self.complete = false;
            return false;
        }
        match self.watches.add(path, mask) {
            Ok(wd) => {
                self.places.insert(wd, place);
                true
            }
            Err(error) => {
                let absent = [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&error.kind());
                self.complete &= absent;
                false
            }
        }
    }
}

/// What an event about an entry means, by the folder it lies in.
fn named(place: &Place, name: &OsStr, is_folder: bool) -> Meaning {
    let text = name.to_str().unwrap_or_default();
    let folders = |matters: bool| if matters { Meaning::Folders } else { Meaning::Nothing };
    match place {
        Place::Ancestor(awaited) => folders(name == awaited),
        Place::Parent => Meaning::Nothing,
        Place::Root => folders(is_folder && app_of(text).is_some()),
        Place::App => folders(is_folder && is_service_name(text)),
        Place::Service if LOCK_FILES.iter().chain(&HANDOVER_FILES).any(|file| *file == text) => Meaning::Lock,
        Place::Service => Meaning::Nothing,
    }
}

/// The deepest folder on the way to `path` that exists, and the name that is missing in it.
fn deepest(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut missing = path;
    loop {
        let parent = missing.parent()?;
        if parent.is_dir() {
            return Some((parent.to_owned(), missing.file_name()?.to_owned()));
        }
        missing = parent;
    }
}
