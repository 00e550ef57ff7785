//! A copy of a database with its log, so that the original is not even touched by opening it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::error::ImportError;
use super::super::small_file;

/// The largest database that is taken for balena-supervisor's, bytes; in the field they have a few hundred kilobytes.
const LARGEST_BYTES: u64 = 64 * 1024 * 1024;

/// How often a database that is being written meanwhile is copied anew.
const TRIES: u32 = 5;

/// What a database consists of. The index of a write-ahead log (`-shm`) is made anew from it.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

/// The copy; it goes when it is dropped.
pub(super) struct Copy {
    folder: PathBuf,
    /// The copied database.
    pub database: PathBuf,
}

impl Copy {
    /// Copies a database into the data directory, which this process holds.
    pub fn of(file: &Path, data_dir: &Path) -> Result<Copy, ImportError> {
        let folder = data_dir.join("import.tmp");
        let made = remove(&folder).and_then(|()| DirBuilder::new().mode(0o700).create(&folder));
        made.map_err(|error| ImportError::io(&folder, "the folder for a copy cannot be made", &error))?;
        let copy = Copy { database: folder.join("database.sqlite"), folder };
        for _ in 0..TRIES {
            let before = stamps(file);
            for part in PARTS {
                copy.take(file, part)?;
            }
            if stamps(file) == before {
                return Ok(copy);
            }
        }
        let next = "stop balena-supervisor, then try again";
        Err(ImportError::file(file, "it is being written all the while, so no whole copy can be made", next))
    }

    fn take(&self, file: &Path, part: &str) -> Result<(), ImportError> {
        let (from, to) = (named(file, part), named(&self.database, part));
        let cannot = |error| ImportError::io(&to, "the copy cannot be written", &error);
        if !part.is_empty() && !from.is_file() {
            return remove(&to).map_err(cannot);
        }
        let mut original = small_file::open(&from)?.take(LARGEST_BYTES + 1);
        let copied = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&to);
        let length = copied.and_then(|mut copied| io::copy(&mut original, &mut copied)).map_err(cannot)?;
        if length > LARGEST_BYTES {
            let what = format!("it is larger than {} MiB", LARGEST_BYTES / 1024 / 1024);
            return Err(ImportError::file(&from, what, "see that it is balena-supervisor's database"));
        }
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            log::warn!("{}: the copy cannot be removed: {error}; the next import does it", self.folder.display());
        }
    }
}

/// Removes a file or folder; a missing one is fine.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What changes when somebody writes: sizes and times of modification.
fn stamps(file: &Path) -> Vec<Option<(u64, i64, i64)>> {
    let stamp = |part: &&str| fs::metadata(named(file, part)).ok().map(|found| (found.size(), found.mtime(), found.mtime_nsec()));
    PARTS.iter().map(stamp).collect()
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
