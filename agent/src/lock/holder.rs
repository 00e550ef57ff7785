//! Who made a lock file.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

use super::folder::Folder;

/// What a lock file of ours begins with.
pub(super) const TAG: &str = "holdfast update lock\n";

/// The user that owns the agent's lock files, `nobody`: balena-supervisor knows its own locks by it, so a device that goes
/// back to it is not held up by ours.
pub(super) const LOCK_UID: u32 = 65534;

/// What balena-supervisor leaves when it ends without releasing: it calls procmail's `lockfile`, which writes this one byte
/// into a file of this mode. An application that runs as `nobody` and uses that same program cannot be told apart (balena
/// takes every file of that user for its own; this is as narrow as the files allow).
const BALENA_CONTENT: &[u8] = b"0";
const BALENA_MODE: RawMode = 0o444;

/// Who made a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// There is no such file.
    Nobody,
    /// The agent, in this run or an earlier one, or balena-supervisor before it.
    Agent,
    /// Anybody else.
    Application {
        /// Modification time, ms since 1970.
        since_ms: Option<i64>,
    },
}

/// Who made a lock file. What cannot be told counts as the application's.
pub(super) fn holder(folder: &Folder, name: &str) -> Result<Holder, Errno> {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Holder::Nobody),
        Err(errno) => return Err(errno),
    };
    let application = Holder::Application { since_ms: modified_ms(&stat) };
    // Looked at before opening: opening a device or a pipe can have effects of its own.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(application);
    }
    match is_ours(folder, name) {
        Ok(true) => Ok(Holder::Agent),
        Ok(false) => Ok(application),
        Err(Errno::NOENT) => Ok(Holder::Nobody),
        Err(_) => Ok(application),
    }
}

fn is_ours(folder: &Folder, name: &str) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let mut start = [0_u8; TAG.len()];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut start))?;
    let start = &start[..read];
    let balena = stat.st_uid == LOCK_UID && RawMode::from(stat.st_mode) & 0o7777 == BALENA_MODE && start == BALENA_CONTENT;
    Ok(start == TAG.as_bytes() || balena)
}

/// Modification time, ms since 1970.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions, reason = "the types differ between machines")]
fn modified_ms(stat: &Stat) -> Option<i64> {
    let seconds = i64::try_from(stat.st_mtime).ok()?;
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).ok()?;
    seconds.checked_mul(1000)?.checked_add(nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{BALENA_MODE, Holder, LOCK_UID, TAG, holder};
    use crate::lock::folder::Folder;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    fn is_application(folder: &Folder) -> bool {
        matches!(holder(folder, "updates.lock").unwrap(), Holder::Application { since_ms: Some(ms) } if ms > 1_500_000_000_000)
    }

    #[test]
    fn everything_without_the_tag_is_the_applications() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::root(dir.path()).unwrap().unwrap();
        let lock = dir.path().join("updates.lock");
        assert_eq!(holder(&folder, "updates.lock").unwrap(), Holder::Nobody);
        for content in ["", "0", "1234\n", "holdfast", "holdfast update lock", &"x".repeat(10_000)] {
            fs::write(&lock, content).unwrap();
            assert!(is_application(&folder), "{content:?}");
        }
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert!(is_application(&folder), "a folder");
        fs::remove_dir(&lock).unwrap();
        rustix::fs::mkfifoat(&folder, "updates.lock", 0o666.into()).unwrap();
        assert!(is_application(&folder), "a pipe, without waiting for its other end");
    }

    #[test]
    fn a_link_is_the_applications_even_when_it_points_at_a_lock_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::root(dir.path()).unwrap().unwrap();
        fs::write(dir.path().join("real"), TAG).unwrap();
        let lock = dir.path().join("updates.lock");
        symlink("real", &lock).unwrap();
        assert!(is_application(&folder));
        fs::remove_file(&lock).unwrap();
        symlink("nowhere", &lock).unwrap();
        assert!(is_application(&folder), "dangling");
    }

    #[test]
    fn the_tag_makes_it_ours_whoever_owns_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::root(dir.path()).unwrap().unwrap();
        fs::write(dir.path().join("updates.lock"), format!("{TAG}pid 1\n")).unwrap();
        assert_eq!(holder(&folder, "updates.lock").unwrap(), Holder::Agent);
    }

    #[test]
    fn a_lock_left_by_balenas_agent_is_recognised_but_not_any_file_of_its_user() {
        let dir = tempfile::tempdir().unwrap();
        if fs::metadata(dir.path()).unwrap().uid() != 0 {
            return; // only root can give files away
        }
        let folder = Folder::root(dir.path()).unwrap().unwrap();
        let lock = dir.path().join("updates.lock");
        for (content, mode, uid, ours) in [
            ("0", BALENA_MODE, LOCK_UID, true),
            ("0", 0o644, LOCK_UID, false),
            ("", BALENA_MODE, LOCK_UID, false),
            ("1", BALENA_MODE, LOCK_UID, false),
            ("0", BALENA_MODE, 1000, false),
        ] {
            fs::write(&lock, content).unwrap();
            fs::set_permissions(&lock, fs::Permissions::from_mode(mode)).unwrap();
            chown(&lock, Some(uid), None).unwrap();
            assert_eq!(holder(&folder, "updates.lock").unwrap() == Holder::Agent, ours, "{content:?} {mode:o} {uid}");
            fs::remove_file(&lock).unwrap();
        }
    }
}
