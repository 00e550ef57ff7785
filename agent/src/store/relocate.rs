//! Moving the agent's own data to another folder: from a folder of the host into a named volume or back. Everything is
//! copied, brought to the disk and compared before anything is removed, so an interruption at any point leaves the data
//! whole in the old place; the same command then ends the work.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::data_dir::DataLock;

/// Files and folders of the agent begin with one of these names; all else in a data directory is somebody else's.
const OWN: [&str; 5] = ["database.sqlite", "telemetry.sqlite", "config.json.good", "backups", "damaged"];

/// The index of a write-ahead log: made anew by whoever opens the database.
const INDEX: &str = "-shm";

/// The one file without which there is nothing to move.
const DATABASE: &str = "database.sqlite";

/// How much is copied at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Files, by their paths below the data directory.
    pub files: Vec<PathBuf>,
    /// Bytes in them.
    pub bytes: u64,
    /// What was left because it is not the agent's.
    pub left: Vec<PathBuf>,
}

/// Moves the data of one folder to another, both locked meanwhile.
///
/// # Errors
/// When an agent runs on either, when there is nothing to move, when the new place holds other data already, and when the
/// file systems refuse: then the old place is as it was.
pub fn relocate(from: &Path, to: &Path) -> Result<Moved, StoreError> {
    if !from.join(DATABASE).is_file() {
        return Err(StoreError::failed(from, "there is no database.sqlite in it: nothing to move"));
    }
    let _here = DataLock::take(from)?;
    let _there = DataLock::take(to)?;
    let mut plan = Plan::default();
    plan.gather(from, Path::new(""))?;
    for file in &plan.files {
        let there = to.join(file);
        // What an interrupted move left is the same; anything else is not ours to write over.
        if there.exists() && !same(&from.join(file), &there)? {
            return Err(StoreError::failed(&there, "is there already and is another file; nothing was moved"));
        }
    }
    for folder in &plan.folders {
        make_folder(&to.join(folder))?;
    }
    let mut bytes = 0;
    for file in &plan.files {
        bytes += copy(&from.join(file), &to.join(file))?;
    }
    for folder in plan.folders.iter().map(|folder| to.join(folder)).chain([to.to_owned()]) {
        sync_folder(&folder)?;
    }
    for file in &plan.files {
        if !same(&from.join(file), &to.join(file))? {
            return Err(StoreError::failed(&to.join(file), "does not read back as it was written; the old place is as it was"));
        }
    }
    plan.remove(from)?;
    Ok(Moved { files: plan.files, bytes, left: plan.left })
}

/// What there is to move.
#[derive(Default)]
struct Plan {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    left: Vec<PathBuf>,
    indexes: Vec<PathBuf>,
}

impl Plan {
    /// Gathers what lies below a folder; at the top only what is the agent's.
    fn gather(&mut self, root: &Path, below: &Path) -> Result<(), StoreError> {
        let folder = root.join(below);
        let failed = |error: io::Error| StoreError::io(&folder, "it cannot be read", &error);
        let mut names: Vec<_> = fs::read_dir(&folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name();
            let path = below.join(&name);
            let text = name.to_string_lossy();
            let own = below != Path::new("") || OWN.iter().any(|own| text.starts_with(own));
            let kind = entry.file_type().map_err(failed)?;
            match own {
                _ if text == "agent.lock" && below == Path::new("") => {}
                true if text.ends_with(INDEX) && kind.is_file() => self.indexes.push(path),
                true if kind.is_file() => self.files.push(path),
                true if kind.is_dir() => {
                    self.folders.push(path.clone());
                    self.gather(root, &path)?;
                }
                _ => self.left.push(path),
            }
        }
        Ok(())
    }

    /// Removes what was moved: the database last, since it is what tells that there is something here.
    fn remove(&self, from: &Path) -> Result<(), StoreError> {
        let mut files: Vec<&PathBuf> = self.indexes.iter().chain(&self.files).collect();
        files.sort_by_key(|file| file.as_path() == Path::new(DATABASE));
        for file in files {
            let path = from.join(file);
            fs::remove_file(&path).map_err(|error| StoreError::io(&path, "it is copied but cannot be removed here", &error))?;
        }
        for folder in self.folders.iter().rev() {
            // One that is not empty holds something that is not ours.
            let _ = fs::remove_dir(from.join(folder));
        }
        sync_folder(from)
    }
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| StoreError::io(folder, "the folder cannot be made", &error))
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    crate::settings::sync_folder(folder).map_err(|error| StoreError::io(folder, "it cannot be brought to the disk", &error))
}

/// Copies a file under another name, brings it to the disk and puts it in its place.
fn copy(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let part = super::data_dir::beside(to, ".moving");
    let copied = (|| {
        let mut source = File::open(from)?;
        let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        let bytes = io::copy(&mut source, &mut target)?;
        target.flush()?;
        target.sync_all()?;
        fs::rename(&part, to)?;
        Ok(bytes)
    })();
    copied.map_err(|error: io::Error| {
        // Half a copy is of no use; one that stays is written over by the next attempt.
        let _ = fs::remove_file(&part);
        StoreError::io(to, "it cannot be written; the old place is as it was", &error)
    })
}

/// Whether two files hold the same bytes.
fn same(one: &Path, other: &Path) -> Result<bool, StoreError> {
    let open = |path: &Path| File::open(path).map_err(|error| StoreError::io(path, "it cannot be read", &error));
    let (mut a, mut b) = (open(one)?, open(other)?);
    let (mut piece_a, mut piece_b) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read_a = fill(&mut a, &mut piece_a).map_err(|error| StoreError::io(one, "it cannot be read", &error))?;
        let read_b = fill(&mut b, &mut piece_b).map_err(|error| StoreError::io(other, "it cannot be read", &error))?;
        if piece_a[..read_a] != piece_b[..read_b] {
            return Ok(false);
        }
        if read_a == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(folder: &Path) {
        fs::create_dir_all(folder.join("backups")).unwrap();
        fs::create_dir_all(folder.join("12345")).unwrap();
        for (name, content) in [
            ("database.sqlite", "db"),
            ("database.sqlite-wal", "wal"),
            ("database.sqlite-shm", "index"),
            ("config.json.good", "{}"),
            ("backups/database-1.sqlite", "copy"),
            ("12345/app-file", "an app's"),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn everything_of_the_agent_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        data(&from);
        let moved = relocate(&from, &to).unwrap();
        assert_eq!((moved.files.len(), moved.bytes), (4, 11));
        assert_eq!(moved.left, [PathBuf::from("12345")]);
        assert_eq!(fs::read(to.join("database.sqlite-wal")).unwrap(), b"wal");
        assert_eq!(fs::read(to.join("backups/database-1.sqlite")).unwrap(), b"copy");
        assert!(!to.join("database.sqlite-shm").exists() && !to.join("12345").exists());
        let mut left: Vec<_> = fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["12345", "agent.lock"]);
        assert!(relocate(&from, &to).unwrap_err().to_string().contains("nothing to move"));
        relocate(&to, &from).unwrap();
        assert_eq!(fs::read(from.join("config.json.good")).unwrap(), b"{}");
    }

    #[test]
    fn a_running_agent_and_other_data_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        data(&from);
        for place in [&from, &to] {
            let held = DataLock::take(place).unwrap();
            assert!(matches!(relocate(&from, &to), Err(StoreError::Held { .. })));
            drop(held);
        }
        fs::write(to.join("database.sqlite"), "other").unwrap();
        assert!(relocate(&from, &to).unwrap_err().to_string().contains("another file"));
        assert_eq!(fs::read(from.join("database.sqlite")).unwrap(), b"db");
    }

    #[test]
    fn an_interrupted_move_is_ended_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        data(&from);
        fs::create_dir_all(&to).unwrap();
        fs::write(to.join("database.sqlite"), "db").unwrap();
        fs::write(to.join("database.sqlite-wal.moving"), "w").unwrap();
        relocate(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("database.sqlite-wal")).unwrap(), b"wal");
        assert!(!from.join("database.sqlite").exists());
    }
}
