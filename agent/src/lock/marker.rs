//! The marker by which a new container ends a hand-over (behaviour §7).

use holdfast_plan::target::AppId;
use rustix::fs::AtFlags;

use super::breaking::break_lock;
use super::folder::Folder;
use super::{HANDOVER_FILES, LockError, LockRoot, is_service_name};

impl LockRoot {
    /// Removes what earlier hand-overs left in a service's folder; gone is fine.
    ///
    /// # Errors
    /// When a marker could not be removed: the next hand-over would end before it began.
    pub fn clear_marker(&self, app: AppId, service: &str) -> Result<(), LockError> {
        let _turn = self.turn();
        let Some(root) = Folder::root(self.path())?.filter(|_| is_service_name(service)) else { return Ok(()) };
        let Some(folder) = root.service(app, service)? else { return Ok(()) };
        HANDOVER_FILES.iter().try_for_each(|file| {
            break_lock(&root, &folder, file)
                .map_err(|errno| LockError::system(&folder.path_of(file), "remove the marker of an earlier hand-over", errno))
        })
    }
}

/// Whether a new container has said that it took over. Anything of that name counts, as with locks.
pub(super) fn is_marked(folder: &Folder) -> bool {
    HANDOVER_FILES.iter().any(|file| rustix::fs::statat(folder, *file, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_seen_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let root = LockRoot::new(folder.path().to_owned());
        std::fs::create_dir_all(folder.path().join("7/main")).unwrap();
        root.clear_marker(7, "main").unwrap();
        for file in HANDOVER_FILES {
            std::fs::write(folder.path().join("7/main").join(file), "").unwrap();
            assert!(root.observe().unwrap().marker(7, "main"), "{file}");
            assert!(!root.observe().unwrap().marker(7, "other"));
            root.clear_marker(7, "main").unwrap();
            assert!(!root.observe().unwrap().marker(7, "main"), "{file}");
        }
    }
}
