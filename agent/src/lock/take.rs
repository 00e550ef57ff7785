//! Taking locks: all of a set of services, or none.

use std::collections::BTreeSet;
use std::rc::Rc;

use holdfast_plan::target::AppId;
use rustix::io::Errno;

use super::aside;
use super::breaking::break_lock;
use super::draft::Draft;
use super::folder::Folder;
use super::holder::{Holder, holder};
use super::release::remove_ours;
use super::{Broken, LOCK_FILES, LockError, LockRoot, is_service_name};

/// How often a lock is tried that comes and goes under our hands before it counts as held.
const ATTEMPTS: usize = 8;

impl LockRoot {
    /// Takes both lock files of every one of these services, all or none: what this call made is removed again when it fails.
    /// Locks of ours from an earlier run are taken over. With `force` the application's locks are broken first; which ones is
    /// the answer.
    ///
    /// # Errors
    /// [`LockError::Held`] when the application holds one, or takes one meanwhile; else what hit which file.
    pub fn take(&self, app: AppId, services: &BTreeSet<String>, force: bool) -> Result<Vec<Broken>, LockError> {
        check_names(self, services)?;
        let _turn = self.turn();
        let root = Folder::make_root(self.path())?;
        aside::sweep(&root);
        if !force {
            check_free(&root, app, services)?;
        }
        let mut taking = Taking { root: &root, app, force, made: Vec::new(), broken: Vec::new() };
        for service in services {
            taking.service(service)?;
        }
        Ok(taking.keep())
    }
}

/// A service's name becomes part of a path.
fn check_names(root: &LockRoot, services: &BTreeSet<String>) -> Result<(), LockError> {
    match services.iter().find(|name| !is_service_name(name)) {
        Some(name) => Err(LockError::File {
            path: root.path().display().to_string(),
            message: format!("no folder can be named after the service {name:?}; its lock cannot be taken"),
        }),
        None => Ok(()),
    }
}

/// Looks before anything is made: a device that waits for a lock tries again and again and should leave no trace.
fn check_free(root: &Folder, app: AppId, services: &BTreeSet<String>) -> Result<(), LockError> {
    for service in services {
        let Some(folder) = root.service(app, service)? else { continue };
        for file in LOCK_FILES {
            let found =
                holder(&folder, file).map_err(|errno| LockError::system(&folder.path_of(file), "look at the lock", errno))?;
            if matches!(found, Holder::Application { .. }) {
                return Err(LockError::Held { app_id: app, service: service.clone() });
            }
        }
    }
    Ok(())
}

/// One call's work so far; undone when dropped before it is kept.
struct Taking<'a> {
    root: &'a Folder,
    app: AppId,
    force: bool,
    made: Vec<(Rc<Folder>, &'static str)>,
    broken: Vec<Broken>,
}

impl Taking<'_> {
    fn service(&mut self, service: &str) -> Result<(), LockError> {
        let folder = Rc::new(self.root.make_service(self.app, service)?);
        LOCK_FILES.into_iter().try_for_each(|file| self.file(&folder, service, file))
    }

    fn file(&mut self, folder: &Rc<Folder>, service: &str, file: &'static str) -> Result<(), LockError> {
        let failed = |tried: &str, errno| LockError::system(&folder.path_of(file), tried, errno);
        let mut vanished = false;
        for _ in 0..ATTEMPTS {
            match holder(folder, file).map_err(|errno| failed("look at the lock", errno))? {
                Holder::Agent => return Ok(()),
                Holder::Application { .. } if !self.force => break,
                Holder::Application { .. } => self.break_one(folder, service, file)?,
                Holder::Nobody => {}
            }
            match Draft::write(self.root)?.publish(folder, file) {
                Ok(()) => {
                    self.made.push((Rc::clone(folder), file));
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                // Somebody else who looks at this lock root may have swept the draft away.
                Err(Errno::NOENT) => vanished = true,
                Err(errno) => return Err(failed("take the lock", errno)),
            }
        }
        match vanished {
            true => Err(failed("take the lock", Errno::NOENT)),
            false => Err(LockError::Held { app_id: self.app, service: service.to_owned() }),
        }
    }

    fn break_one(&mut self, folder: &Folder, service: &str, file: &str) -> Result<(), LockError> {
        let result = break_lock(self.root, folder, file);
        result.map_err(|errno| LockError::system(&folder.path_of(file), "break the application's lock", errno))?;
        let broken = Broken { service: service.to_owned(), file: file.to_owned() };
        if !self.broken.contains(&broken) {
            self.broken.push(broken);
        }
        Ok(())
    }

    fn keep(mut self) -> Vec<Broken> {
        self.made.clear();
        std::mem::take(&mut self.broken)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        for (folder, file) in &self.made {
            remove_ours(folder, file).unwrap_or_else(|errno| {
                log::warn!(
                    "{}: could not give the lock back ({errno}); it is recognised and reused",
                    folder.path_of(file).display()
                );
            });
        }
        for Broken { service, file } in &self.broken {
            log::warn!(
                "app {}: {file} of {service} was broken on request, though the locks could not be taken after all",
                self.app
            );
        }
    }
}
