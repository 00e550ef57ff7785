//! How a lock file of ours comes to be.
//!
//! It is written under another name in the lock root, where no container sees it, given its owner and mode, made durable,
//! and only then linked to its real name. The link is exclusive: it fails when anybody holds the lock. A kill at any moment
//! leaves a draft (cleared away later, never taken for a lock) or a complete lock of ours.

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::LockError;
use super::aside::aside_name;
use super::folder::Folder;
use super::holder::{LOCK_UID, TAG};

/// Everybody may see who holds the lock.
const LOCK_MODE: u32 = 0o644;

/// A lock file that is complete but has no place yet. Dropping it removes it.
pub(super) struct Draft<'a> {
    root: &'a Folder,
    name: String,
}

impl<'a> Draft<'a> {
    /// Writes one. Drafts are swept before locks are taken, so the name is free.
    pub(super) fn write(root: &'a Folder) -> Result<Self, LockError> {
        let name = aside_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(root, &name, flags, Mode::from_raw_mode(0o600));
        let file = opened.map_err(|errno| LockError::system(&root.path_of(&name), "make a lock file", errno))?;
        let draft = Self { root, name };
        let content = content();
        fill(&file, content.as_bytes())
            .map_err(|errno| LockError::system(&root.path_of(&draft.name), "write a lock file", errno))?;
        // The tag is what tells our locks; the owner only serves balena-supervisor, so an agent that is not root goes without.
        let _ = rustix::fs::fchown(&file, Some(Uid::from_raw(LOCK_UID)), None::<Gid>);
        Ok(draft)
    }

    /// Gives it its place, unless something is there already ([`Errno::EXIST`]).
    pub(super) fn publish(self, folder: &Folder, name: &str) -> Result<(), Errno> {
        match rustix::fs::linkat(self.root, &self.name, folder, name, AtFlags::empty()) {
            // File systems without hard links, and kernels that keep us from linking a file we gave away: an exclusive
            // rename does the same.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => self.move_to(folder, name),
            linked => linked,
        }
    }

    fn move_to(&self, folder: &Folder, name: &str) -> Result<(), Errno> {
        rustix::fs::renameat_with(self.root, &self.name, folder, name, RenameFlags::NOREPLACE)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(self.root, &self.name, AtFlags::empty());
    }
}

/// The tag, and for people who wrote it.
fn content() -> String {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{TAG}pid {}\nboot {}\n", std::process::id(), boot_id.trim())
}

/// Fills a draft and makes it durable: on a disk (the usual place is in memory) a name could else survive a power cut
/// without its content, and a lock without the tag is the application's.
fn fill(file: &std::os::fd::OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(file, content))? {
            0 => return Err(Errno::IO),
            written => content = &content[written..],
        }
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(LOCK_MODE))?;
    rustix::fs::fdatasync(file)
}

#[cfg(test)]
mod tests {
    use super::{Draft, Folder};
    use crate::lock::holder::{Holder, holder};
    use rustix::io::Errno;

    /// The way for file systems without hard links is as exclusive as the other.
    #[test]
    fn an_exclusive_move_takes_a_free_lock_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::root(dir.path()).unwrap().unwrap();
        assert_eq!(Draft::write(&folder).unwrap().move_to(&folder, "updates.lock"), Ok(()));
        assert_eq!(holder(&folder, "updates.lock"), Ok(Holder::Agent));
        std::fs::write(dir.path().join("resin-updates.lock"), "theirs").unwrap();
        assert_eq!(Draft::write(&folder).unwrap().move_to(&folder, "resin-updates.lock"), Err(Errno::EXIST));
        assert_eq!(std::fs::read_to_string(dir.path().join("resin-updates.lock")).unwrap(), "theirs");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no draft is left");
    }
}
