//! Changing files of the boot partition, which is FAT: there a cut in the middle of a rename may leave a file missing, empty,
//! short, or with somebody else's bytes. So what is to be done lies on the data partition first:
//!
//! 1. `boot-files.journal` gets what the files are and what they become
//! 2. each file is replaced
//! 3. the journal goes
//!
//! A start that finds the journal ends the work. A file that is neither what it was, nor what it becomes, nor torn was
//! edited by a person meanwhile, and stays.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::host::HostError;
use crate::host::file::{bytes_in, open_in};
use crate::settings::{replace_file, sha256};

/// The largest file of the boot partition that is read, bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Work on the boot partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct Entry {
    pub files: Vec<FileChange>,
    /// Set when the device has to start again for it: why.
    pub reboot: Option<String>,
    /// Set when the proxy's services have to be restarted for it.
    pub restart: bool,
}

/// What a file is and what it becomes; bytes as characters of one byte each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::host) struct FileChange {
    file: String,
    before: Option<String>,
    after: Option<String>,
}

impl FileChange {
    pub fn new(file: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> FileChange {
        let kept = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        FileChange { file: file.to_owned(), before: before.map(kept), after: after.map(kept) }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "every character was one byte")]
fn bytes(kept: &str) -> Vec<u8> {
    kept.chars().map(|c| c as u8).collect()
}

/// The journal and the partition it is for.
#[derive(Debug)]
pub(in crate::host) struct Journal {
    /// Where the journal lies: on the data partition.
    pub path: PathBuf,
    /// The host's root.
    pub root: PathBuf,
}

impl Journal {
    /// Reads a file of the boot partition; `None` when there is none.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, String> {
        match bytes_in(&self.root, &Path::new("mnt/boot").join(file), MAX_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Does the first two steps. Files that are so already are not written.
    pub fn write(&self, entry: &Entry) -> Result<(), HostError> {
        let text = serde_json::to_string(entry).map_err(|error| self.failed(&error.to_string()))?;
        let text = format!("{}\n{text}", sha256(text.as_bytes()));
        replace_file(&self.path, text.as_bytes(), 0o600).map_err(|error| self.failed(&error.to_string()))?;
        for change in &entry.files {
            if let Err(error) = self.apply(change) {
                // Whoever asked hears of the failure: unless something was begun, the next start is not to do it all the same.
                let untouched = |change: &FileChange| self.read(&change.file) == Ok(change.before.as_deref().map(bytes));
                if entry.files.iter().all(untouched) {
                    self.finish();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// The third step.
    pub fn finish(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Ending the same work again changes nothing.
            Err(error) => log::warn!("{}: cannot be removed: {error}", self.path.display()),
        }
    }

    /// Work that an earlier run did not end.
    pub fn pending(&self) -> Option<Entry> {
        let text = fs::read_to_string(&self.path).ok()?;
        let entry = text.split_once('\n').filter(|(sum, rest)| *sum == sha256(rest.as_bytes()));
        let entry = entry.and_then(|(_, rest)| serde_json::from_str(rest).ok());
        if entry.is_none() {
            log::warn!("{}: is damaged and dropped", self.path.display());
            self.finish();
        }
        entry
    }

    /// Does what is left of the second step.
    pub fn complete(&self, entry: &Entry) -> Result<(), HostError> {
        for change in &entry.files {
            let present = self.read(&change.file).map_err(|error| self.failed_at(&change.file, &error))?;
            let after = change.after.as_deref().map(bytes);
            let before = change.before.as_deref().map(bytes);
            if present == after {
                self.drop_temporary(&change.file);
            } else if present == before || is_torn(present.as_deref(), before.as_deref(), after.as_deref()) {
                log::info!("mnt/boot/{}: writing it was interrupted and is ended now", change.file);
                self.apply(change)?;
            } else {
                log::warn!("mnt/boot/{}: was edited while a change of it was interrupted; the edit stays", change.file);
            }
        }
        Ok(())
    }

    fn apply(&self, change: &FileChange) -> Result<(), HostError> {
        let path = self.place(&change.file)?;
        let done = match &change.after {
            Some(after) if self.read(&change.file) == Ok(Some(bytes(after))) => Ok(()),
            Some(after) => replace_file(&path, &bytes(after), 0o644),
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Ok(()) => path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all()),
                Err(error) => Err(error),
            },
        };
        done.map_err(|error| self.failed_at(&change.file, &format!("it cannot be written: {error}")))
    }

    /// Where a file is written. Its folder is made, but not the boot partition's own: that would be a partition that is not
    /// mounted. Links are not followed: there are none on FAT.
    fn place(&self, file: &str) -> Result<PathBuf, HostError> {
        let boot = self.root.join("mnt/boot");
        let path = boot.join(file);
        let failed = |message: &str| self.failed_at(file, message);
        if !boot.is_dir() {
            return Err(failed("the boot partition is not mounted"));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir(folder).map_err(|error| failed(&format!("its folder cannot be made: {error}")))?;
        }
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(failed("it is no plain file and is left as it is"));
        }
        match open_in(&self.root, Path::new("mnt/boot"), OFlags::PATH) {
            Ok(_) | Err(Errno::NOSYS) => Ok(path),
            Err(error) => Err(failed(&error.to_string())),
        }
    }

    /// Removes what a replacement that was interrupted prepared.
    fn drop_temporary(&self, file: &str) {
        let mut name = self.root.join("mnt/boot").join(file).into_os_string();
        name.push(".new");
        debug_assert!(name.as_bytes().ends_with(b".new"));
        // It is in nobody's way.
        let _ = fs::remove_file(PathBuf::from(name));
    }

    fn failed(&self, message: &str) -> HostError {
        HostError::File { path: self.path.display().to_string(), message: format!("nothing was changed: {message}") }
    }

    fn failed_at(&self, file: &str, message: &str) -> HostError {
        HostError::File { path: self.root.join("mnt/boot").join(file).display().to_string(), message: message.to_owned() }
    }
}

/// Whether this is what a cut leaves of either content: nothing, a beginning, padding, or bytes that are no text although
/// the content was.
fn is_torn(present: Option<&[u8]>, before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
    let Some(present) = present else { return true };
    let end = present.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let contents = [before, after];
    let mut contents = contents.iter().flatten();
    let beginning = contents.clone().any(|content| content.starts_with(&present[..end]));
    let was_text = contents.all(|content| std::str::from_utf8(content).is_ok() && !content.contains(&0));
    beginning || (was_text && (present.contains(&0) || std::str::from_utf8(present).is_err()))
}

#[cfg(test)]
mod tests;
