//! The data directory and its lock: one agent at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// Permission bits that let others than the owner in.
const OTHERS: u32 = 0o077;

/// The data directory, held by this process. Dropping it lets the next agent in; so does the death of the process.
#[derive(Debug)]
pub struct DataLock {
    // Held for the lock on it, which ends with the file.
    _file: File,
}

impl DataLock {
    /// Makes the directory when it is missing and takes the lock in it.
    ///
    /// # Errors
    /// [`StoreError::Held`] names the process that has it; anything else says what the file system answered.
    pub fn take(data_dir: &Path) -> Result<DataLock, StoreError> {
        ensure_folder(data_dir)?;
        let path = data_dir.join("agent.lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| StoreError::io(&path, "the lock file cannot be opened", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&path, "it cannot be locked", &error)),
        }
        // Only for people and for the message of a second agent: the lock is what counts.
        if let Err(error) = write_pid(&mut file) {
            log::warn!("{}: the process id cannot be written: {error}", path.display());
        }
        Ok(DataLock { _file: file })
    }
}

fn held(path: &Path, file: &mut File) -> StoreError {
    let mut text = String::new();
    // An unreadable or half-written file has no pid in it; who holds the lock is then not known.
    let _ = file.take(32).read_to_string(&mut text);
    StoreError::Held { path: path.display().to_string(), pid: text.trim().parse().ok() }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Makes a folder 0700 when it is missing; one that others can enter is reported and left as it is.
pub(super) fn ensure_folder(folder: &Path) -> Result<(), StoreError> {
    match fs::metadata(folder) {
        Ok(present) if present.is_dir() => {
            let mode = present.permissions().mode() & 0o7777;
            if mode & OTHERS != 0 {
                log::warn!(
                    "{} has mode {mode:04o}: others can enter it; chmod 0700 keeps its secrets to the agent",
                    folder.display()
                );
            }
            Ok(())
        }
        Ok(_) => Err(StoreError::failed(folder, "it is not a folder: move it away")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let missing = folder.ancestors().take_while(|folder| !folder.exists()).count();
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| StoreError::io(folder, "the folder cannot be made", &error))?;
            // What is stored in it is only as durable as its name. One that may not be read is not refused for that.
            for above in folder.ancestors().skip(1).take(missing) {
                let _ = File::open(above).and_then(|above| above.sync_all());
            }
            Ok(())
        }
        Err(error) => Err(StoreError::io(folder, "it cannot be looked at", &error)),
    }
}

/// Takes a file away from others than its owner, if they have it; a missing one is fine.
pub(super) fn keep_private(file: &Path) {
    let Ok(present) = fs::metadata(file) else { return };
    let mode = present.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        log::warn!("{} had mode {mode:04o} and gets 0600: it holds secrets", file.display());
        if let Err(error) = fs::set_permissions(file, fs::Permissions::from_mode(0o600)) {
            log::warn!("{}: its mode cannot be changed: {error}", file.display());
        }
    }
}

/// A path with something added to its name, for example `-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_second_agent_learns_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let lock = DataLock::take(&data).unwrap();
        assert_eq!((mode(&data), mode(&data.join("agent.lock"))), (0o700, 0o600));
        let error = DataLock::take(&data).unwrap_err();
        assert!(matches!(error, StoreError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{error:?}");
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(lock);
        DataLock::take(&data).unwrap();
    }

    #[test]
    fn a_dead_agents_lock_is_nobodys_and_its_pid_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        fs::write(&path, "123456789012\nlonger than any pid").unwrap();
        let _lock = DataLock::take(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn an_open_folder_is_left_as_it_is_and_an_open_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        ensure_folder(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o755);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        keep_private(&file);
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for data in [file.clone(), file.join("below")] {
            let error = DataLock::take(&data).unwrap_err().to_string();
            assert!(error.contains("move it away"), "{error}");
        }
    }
}
