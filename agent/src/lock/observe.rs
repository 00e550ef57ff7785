//! Looking at every lock.

use std::hash::{DefaultHasher, Hash, Hasher};

use holdfast_plan::current::{LockHolder, Locks, ServiceLock};
use holdfast_plan::target::AppId;
use rustix::fs::AtFlags;

use super::folder::Folder;
use super::holder::{Holder, holder};
use super::marker::is_marked;
use super::{HANDOVER_FILES, LOCK_FILES, LockError, LockRoot, aside};

/// How many service folders are looked at in all.
const MAX_SERVICES: usize = 4096;

impl LockRoot {
    /// Every lock that exists. Drafts that a killed agent left behind are cleared away on the occasion.
    ///
    /// # Errors
    /// When the lock root cannot be read; a missing one is no locks. A folder below it that cannot be read is left out: it
    /// shows when its lock is taken, and holds up no other app.
    pub fn observe(&self) -> Result<Locks, LockError> {
        let _turn = self.turn();
        let Some(root) = Folder::root(self.path())? else { return Ok(Locks::default()) };
        aside::sweep(&root);
        self.look_in(&root)
    }

    /// The same without clearing anything away: for whoever looks beside an agent, whose drafts those may be.
    ///
    /// # Errors
    /// When the lock root cannot be read.
    pub fn look(&self) -> Result<Locks, LockError> {
        let root = Folder::root(self.path())?;
        root.map_or_else(|| Ok(Locks::default()), |root| self.look_in(&root))
    }

    fn look_in(&self, root: &Folder) -> Result<Locks, LockError> {
        let mut locks = Locks::default();
        self.each_service(root, |app, service, folder| {
            if let Some(holder) = service_holder(folder) {
                locks.held.entry(app).or_default().insert(service.to_owned(), ServiceLock { holder });
            }
            if is_marked(folder) {
                locks.handed_over.entry(app).or_default().insert(service.to_owned());
            }
        })?;
        Ok(locks)
    }

    /// A number that changes when a lock or hand-over file appears, goes or is written: for places without inotify.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Ok(Some(root)) = Folder::root(self.path()) else { return 0 };
        let looked = self.each_service(&root, |app, service, folder| {
            for name in LOCK_FILES.iter().chain(&HANDOVER_FILES) {
                if let Ok(stat) = rustix::fs::statat(folder, *name, AtFlags::SYMLINK_NOFOLLOW) {
                    (app, service, name, stat.st_ino, stat.st_size).hash(&mut hasher);
                    (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec).hash(&mut hasher);
                }
            }
        });
        looked.map_or(0, |()| hasher.finish())
    }

    /// Calls `visit` for every service's folder, in order, up to a bound.
    fn each_service(&self, root: &Folder, mut visit: impl FnMut(AppId, &str, &Folder)) -> Result<(), LockError> {
        let listed = root.apps().map_err(|errno| LockError::system(root.path(), "list the lock root", errno))?;
        let (apps, mut surplus) = listed;
        let mut left = MAX_SERVICES;
        for app in apps {
            let Ok(folder) = root.child(&app.to_string()) else { continue };
            let Ok((services, more)) = folder.services() else { continue };
            surplus |= more || services.len() > left;
            for service in services.iter().take(left) {
                if let Ok(folder) = folder.child(service) {
                    visit(app, service, &folder);
                }
            }
            left = left.saturating_sub(services.len());
        }
        if surplus {
            self.tell_surplus();
        }
        Ok(())
    }
}

/// Who holds a service's lock: one file of the application is enough to hold it.
fn service_holder(folder: &Folder) -> Option<LockHolder> {
    let mut ours = 0;
    for file in LOCK_FILES {
        match holder(folder, file).unwrap_or(Holder::Application { since_ms: None }) {
            Holder::Nobody => {}
            Holder::Agent => ours += 1,
            Holder::Application { since_ms } => return Some(LockHolder::Application { file: file.to_owned(), since_ms }),
        }
    }
    (ours > 0).then_some(LockHolder::Agent { complete: ours == LOCK_FILES.len() })
}
