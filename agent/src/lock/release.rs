//! Giving locks back.

use std::collections::BTreeSet;

use holdfast_plan::target::AppId;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::folder::Folder;
use super::holder::{Holder, holder};
use super::{LOCK_FILES, LockError, LockRoot, is_service_name};

impl LockRoot {
    /// Removes the agent's own locks of these services. The application's are left, and so are the folders: containers have
    /// them mounted.
    ///
    /// # Errors
    /// The first file that could not be removed; the others are removed all the same.
    pub fn release(&self, app: AppId, services: &BTreeSet<String>) -> Result<(), LockError> {
        let _turn = self.turn();
        let Some(root) = Folder::root(self.path())? else { return Ok(()) };
        let mut result = Ok(());
        for service in services.iter().filter(|name| is_service_name(name)) {
            result = result.and(release_service(&root, app, service));
        }
        result
    }
}

fn release_service(root: &Folder, app: AppId, service: &str) -> Result<(), LockError> {
    let Some(folder) = root.service(app, service)? else { return Ok(()) };
    let mut result = Ok(());
    for file in LOCK_FILES {
        let removed = remove_ours(&folder, file);
        result = result.and(removed.map_err(|errno| LockError::system(&folder.path_of(file), "give the lock back", errno)));
    }
    result
}

/// Removes a lock file if it is ours.
pub(super) fn remove_ours(folder: &Folder, file: &str) -> Result<(), Errno> {
    if holder(folder, file)? != Holder::Agent {
        return Ok(());
    }
    match rustix::fs::unlinkat(folder, file, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
