//! Where the record and the binaries lie.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::SlotError;
use super::point;
use super::record::{Binary, Slot, Slots};
use crate::settings::replace_file;

/// Larger records are none of ours, bytes.
const LARGEST_RECORD_BYTES: u64 = 64 * 1024;

/// `<data-dir>/agent`.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// That of a data directory.
    pub fn of(data_dir: &Path) -> Folder {
        Folder { path: data_dir.join("agent") }
    }

    /// A binary in its slot.
    pub fn binary(&self, slot: Slot) -> PathBuf {
        self.path.join(slot.name()).join("holdfast")
    }

    /// What is being downloaded or was copied, before it has a slot.
    pub(super) fn new_binary(&self) -> PathBuf {
        self.path.join("new")
    }

    /// What an interrupted download is a part of.
    pub(super) fn download_note(&self) -> PathBuf {
        self.path.join("new.from")
    }

    /// The database as it was before a trial.
    pub fn copy(&self) -> PathBuf {
        self.path.join("database-before.sqlite")
    }

    fn record(&self) -> PathBuf {
        self.path.join("slots")
    }

    /// Reads the record; one that is not there is an empty one.
    ///
    /// # Errors
    /// When it is there and cannot be read: nothing is known then.
    pub fn load(&self) -> Result<Slots, SlotError> {
        let path = self.record();
        let unreadable = |why: String| {
            SlotError::file(&path, format_args!("{why}; what is in the slots is not known and the image's own agent is used"))
        };
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST_RECORD_BYTES).read_to_string(&mut text));
        match read {
            Ok(_) => Slots::from_text(&text).map_err(unreadable),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Slots::default()),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Stores the record, durable when it returns.
    ///
    /// # Errors
    /// What the file system answered; the record is then as it was.
    pub fn store(&self, slots: &Slots) -> Result<(), SlotError> {
        self.make()?;
        let path = self.record();
        point("before the record is stored");
        let stored = replace_file(&path, slots.to_text().as_bytes(), 0o600);
        stored.map_err(SlotError::io(&path, "it cannot be stored"))?;
        point("after the record is stored");
        Ok(())
    }

    /// Makes the folder and the slots' own.
    pub(super) fn make(&self) -> Result<(), SlotError> {
        for folder in [self.path.clone(), self.path.join(Slot::A.name()), self.path.join(Slot::B.name())] {
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SlotError::io(&folder, "the folder cannot be made")(error)),
                Ok(()) => sync_folder(folder.parent().unwrap_or(Path::new("/")))?,
            }
        }
        Ok(())
    }

    /// Whether a slot holds what it is said to hold.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn examine(&self, binary: &Binary) -> Result<PathBuf, String> {
        let path = self.binary(binary.slot);
        match file_sha256(&path) {
            Ok(found) if found == binary.sha256 => Ok(path),
            Ok(_) => Err(format!("{} is not what was put there: its checksum is wrong", path.display())),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// Removes what was downloaded of a version that nobody wants any more, when there is any.
    pub fn remove_download(&self) {
        super::download::forget(self);
    }

    /// Removes the copy of the database of before a trial, when there is one.
    pub fn remove_copy(&self) {
        let path = self.copy();
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{}: it is not needed any more but cannot be removed: {error}", path.display());
        }
    }
}

/// Makes a folder's names durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SlotError> {
    crate::settings::sync_folder(folder).map_err(SlotError::io(folder, "it cannot be made durable"))
}

/// A file's SHA-256, in hex.
pub(super) fn file_sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => context.update(&piece[..length]),
        }
    }
    Ok(crate::settings::hex(context.finish().as_ref()))
}

/// The SHA-256 of the program that runs, in hex; `None` when it cannot be read.
pub fn own_sha256() -> Option<String> {
    file_sha256(Path::new("/proc/self/exe")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_record_is_stored_for_its_owner_alone_and_damage_is_said() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        assert_eq!(folder.load(), Ok(Slots::default()));
        let slots = Slots { news: Some("x".into()), ..Slots::default() };
        folder.store(&slots).unwrap();
        assert_eq!(folder.load(), Ok(slots));
        assert_eq!(fs::metadata(folder.record()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(folder.record(), "").unwrap();
        assert!(folder.load().unwrap_err().to_string().contains("the image's own agent is used"));
    }

    #[test]
    fn another_file_in_a_slot_is_noticed() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        fs::write(folder.binary(Slot::B), "one").unwrap();
        let binary = Binary { slot: Slot::B, sha256: crate::settings::sha256(b"one"), version: "1".into() };
        assert_eq!(folder.examine(&binary), Ok(folder.binary(Slot::B)));
        fs::write(folder.binary(Slot::B), "onf").unwrap();
        assert!(folder.examine(&binary).unwrap_err().contains("checksum"));
        assert!(folder.examine(&Binary { slot: Slot::A, ..binary }).is_err());
    }
}
