//! Breaking an application's lock, on request.

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::aside::{aside_name, remove_tree};
use super::folder::{Folder, MAX_ENTRIES};

/// Removes whatever stands in a lock's place. A folder with content is first moved out of the container's sight as a whole,
/// so the lock is free at once however much lies in it.
pub(super) fn break_lock(root: &Folder, folder: &Folder, name: &str) -> Result<(), Errno> {
    let removed = match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR),
        done => done,
    };
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let aside = aside_name();
            rustix::fs::renameat(folder, name, root, &aside)?;
            let mut left = MAX_ENTRIES;
            // What is left over is cleared by the next sweep.
            let _ = remove_tree(root, &aside, &mut left);
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}
