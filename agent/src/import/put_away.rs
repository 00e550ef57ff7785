//! Where a file goes once it was imported: beside itself under another name, or into `imported/` of the data directory.
//! Nothing is ever deleted or written over.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::ImportError;
use crate::settings::sync_folder;

/// How many files of one name are kept; then somebody has to tidy up.
const NAMES: u32 = 100;

/// Renames a preload to `apps.json.preloaded` and leaves an empty one in its place (protocol §4.2).
pub(super) fn preloaded(file: &Path) -> Result<PathBuf, ImportError> {
    let failed = |error| ImportError::io(file, "it was loaded but cannot be renamed", &error);
    let done = free_name(&beside(file, ".preloaded")).map_err(failed)?;
    fs::rename(file, &done).map_err(failed)?;
    // Without the empty file the next start finds none, which is the same.
    let _ = write_new(file, b"{}\n", 0o644).and_then(|()| sync_name(file));
    Ok(done)
}

/// Moves a file into the archive of the data directory.
pub(super) fn move_to_archive(file: &Path, data_dir: &Path) -> Result<PathBuf, ImportError> {
    let failed = |error| ImportError::io(file, "it was imported but cannot be moved into the archive", &error);
    let place = archive_name(file, data_dir).map_err(failed)?;
    fs::rename(file, &place).and_then(|()| sync_name(&place)).map_err(failed)?;
    Ok(place)
}

/// Puts a copy of a text into the archive of the data directory.
pub(super) fn copy_to_archive(file: &Path, text: &str, data_dir: &Path) -> Result<PathBuf, ImportError> {
    let failed = |error| ImportError::io(file, "it was imported but cannot be copied into the archive", &error);
    let place = archive_name(file, data_dir).map_err(failed)?;
    write_new(&place, text.as_bytes(), 0o600).and_then(|()| sync_name(&place)).map_err(failed)?;
    Ok(place)
}

fn archive_name(file: &Path, data_dir: &Path) -> io::Result<PathBuf> {
    let archive = data_dir.join("imported");
    DirBuilder::new().recursive(true).mode(0o700).create(&archive)?;
    free_name(&archive.join(file.file_name().unwrap_or_default()))
}

/// The name itself, or the first free one with a number behind it.
fn free_name(wanted: &Path) -> io::Result<PathBuf> {
    let numbered = (1..NAMES).map(|number| beside(wanted, &format!(".{number}")));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| fs::symlink_metadata(name).is_err()).ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the name of a file durable.
fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
