//! Update locks (behaviour §6): files by which an application says "do not stop me now", and by which the agent says "I am
//! about to".
//!
//! Every service has a folder on the host, seen in its container as `/tmp/balena`. Whoever makes `updates.lock` (or its older
//! name) there first holds the lock. Nothing is remembered: who holds a lock is read from the files each time.
//!
//! Three rules keep the promise:
//! - a lock of ours appears complete or not at all, so no kill can leave one that looks like the application's (`draft`);
//! - taking is exclusive and decides alone; an earlier look only saves work (`take`);
//! - service folders are mounted into containers, so they are never removed or replaced, and what lies in them is never
//!   trusted: no link is followed, nothing is listed, no file is opened that is not a plain one (`folder`, `holder`).

mod aside;
mod breaking;
mod changes;
mod draft;
mod error;
mod folder;
mod holder;
mod marker;
mod observe;
mod release;
mod take;
#[cfg(test)]
mod tests;
mod watched;

pub use changes::LockChanges;
pub use error::LockError;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_plan::target::AppId;

/// The two names of a lock in a service's folder: the current one and the one old applications use. Both are taken.
pub const LOCK_FILES: [&str; 2] = ["updates.lock", "resin-updates.lock"];

/// What a new container makes in its folder to end a hand-over (behaviour §7); watched together with the locks.
pub const HANDOVER_FILES: [&str; 2] = ["handover-complete", "resin-kill-me"];

/// Longest name of a service (protocol §3.3).
const SERVICE_NAME_MAX_BYTES: usize = 255;

/// A lock of the application that was broken on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Service.
    pub service: String,
    /// File name.
    pub file: String,
}

/// The folder that holds every app's and service's lock folder.
#[derive(Debug)]
pub struct LockRoot {
    path: PathBuf,
    /// Taking, breaking and releasing consist of several steps; one at a time.
    turn: Mutex<()>,
    told_surplus: AtomicBool,
}

impl LockRoot {
    /// The lock root at a path as this process sees it. It need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path, turn: Mutex::new(()), told_surplus: AtomicBool::new(false) }
    }

    /// Its path as this process sees it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once that folders were left out of a look.
    fn tell_surplus(&self) {
        if !self.told_surplus.swap(true, Ordering::Relaxed) {
            log::warn!(
                "{}: more folders than any device needs; the rest is left out when looking (taking a lock still sees it)",
                self.path.display()
            );
        }
    }
}

/// Whether a name may be a service's folder: one plain path component (protocol §3.3 is stricter still).
fn is_service_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= SERVICE_NAME_MAX_BYTES && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// The app a folder belongs to; only the usual spelling of a number counts, so that no app has two folders.
fn app_of(name: &str) -> Option<AppId> {
    name.parse::<AppId>().ok().filter(|id| id.to_string() == name)
}
