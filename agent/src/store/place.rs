//! Where the database and everything around it lie.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::data_dir::beside;
use super::task::Keep;
use crate::settings::Settings;

/// The paths of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The data directory, which holds the lock, backups and what was set aside.
    pub data_dir: PathBuf,
    /// The database file.
    pub database: PathBuf,
    /// Which backups are kept.
    pub keep: Keep,
}

impl Place {
    /// A database in its data directory, with the usual number of backups.
    pub fn new(data_dir: &Path, database: &Path) -> Place {
        Place { data_dir: data_dir.to_owned(), database: database.to_owned(), keep: Keep::default() }
    }

    /// Where the settings say it is, with as many backups.
    pub fn of(settings: &Settings) -> Place {
        let keep = Keep { count: settings.backup_keep, age: settings.backup_age };
        Place { keep, ..Place::new(&settings.data_dir, &settings.database) }
    }

    /// Folder of the verified copies.
    pub fn backups(&self) -> PathBuf {
        self.data_dir.join("backups")
    }

    /// Folder of what was set aside: in the data directory, or beside a database that lies on another file system, because
    /// files are renamed into it.
    pub fn damaged(&self) -> PathBuf {
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        let folder = if device(self.folder()) == device(&self.data_dir) { &self.data_dir } else { self.folder() };
        folder.join("damaged")
    }

    /// The folder the database lies in.
    pub(super) fn folder(&self) -> &Path {
        self.database.parent().unwrap_or(Path::new("/"))
    }

    /// A verified copy that takes the database's place at the next start: what `db restore` leaves for a running agent.
    pub(super) fn waiting(&self) -> PathBuf {
        beside(&self.database, ".restore")
    }

    /// Marks a database that failed while it was in use; its length counts how often.
    pub(super) fn suspect(&self) -> PathBuf {
        beside(&self.database, ".suspect")
    }
}

/// Removes a database that nobody has open, with what SQLite may have left beside it.
pub(super) fn remove_database(file: &Path) -> io::Result<()> {
    ["-journal", "-wal", "-shm", ""].iter().try_for_each(|suffix| remove(&beside(file, suffix)))
}

/// Removes a file; a missing one is fine.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
