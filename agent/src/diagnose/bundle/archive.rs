//! The bundle's file: a gzip-compressed tar, written beside its place and then put there.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::volume::{BLOCK_BYTES, END_OF_ARCHIVE, file_header};

/// Of names a tar keeps so many bytes.
const NAME_BYTES: usize = 100;

/// A bundle being written. Dropped before it is finished, it leaves nothing.
pub(super) struct Archive {
    path: PathBuf,
    part: PathBuf,
    gzip: Option<GzEncoder<BufWriter<File>>>,
}

impl Archive {
    /// Begins a file where none is yet.
    pub fn create(path: &Path) -> anyhow::Result<Archive> {
        anyhow::ensure!(path.symlink_metadata().is_err(), "{}: it is there already; give another name", path.display());
        let part = with(path, ".part");
        // What a killed attempt left, or a link somebody laid there.
        let _ = std::fs::remove_file(&part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.with_context(|| format!("{}: it cannot be made", part.display()))?;
        let gzip = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Archive { path: path.to_owned(), part, gzip: Some(gzip) })
    }

    /// A path for something that is only needed meanwhile.
    pub fn beside(&self, what: &str) -> PathBuf {
        with(&self.part, &format!(".{what}"))
    }

    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let name: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(NAME_BYTES - 1).collect();
        let padding = vec![0; bytes.len().wrapping_neg() % BLOCK_BYTES];
        let header = file_header(&name, 0o600, bytes.len() as u64);
        self.put(&[&header, bytes, &padding])
    }

    fn put(&mut self, pieces: &[&[u8]]) -> anyhow::Result<()> {
        let Some(gzip) = &mut self.gzip else { return Ok(()) };
        let written = pieces.iter().try_for_each(|piece| gzip.write_all(piece));
        written.with_context(|| format!("{}: it cannot be written", self.part.display()))
    }

    /// Ends it and puts it in its place; returns its size.
    pub fn finish(mut self) -> anyhow::Result<u64> {
        self.put(&[&END_OF_ARCHIVE])?;
        let end = |gzip: GzEncoder<BufWriter<File>>| -> std::io::Result<u64> {
            let file = gzip.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()?;
            std::fs::rename(&self.part, &self.path)?;
            Ok(file.metadata()?.len())
        };
        let ended = self.gzip.take().map(end).transpose();
        Ok(ended.with_context(|| format!("{}: it cannot be written", self.path.display()))?.unwrap_or(0))
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // Once it is in its place there is nothing left here.
        let _ = std::fs::remove_file(&self.part);
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn another_program_reads_it_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        let mut archive = Archive::create(&path).unwrap();
        archive.add("a/one.txt", b"one").unwrap();
        archive.add(&"l\u{f6}ng".repeat(60), &[7; 513]).unwrap();
        assert!(!path.exists());
        let bytes = archive.finish().unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.len(), found.permissions().mode() & 0o777), (bytes, 0o600));
        let tar = |arguments: &[&str]| {
            let output = std::process::Command::new("tar").args(arguments).arg(&path).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let list = tar(&["-tzf"]);
        assert!(list.starts_with("a/one.txt\nl_ngl_ng"), "{list}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Archive::create(&path).is_err(), "what is there stays");
        drop(Archive::create(&folder.path().join("c")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
