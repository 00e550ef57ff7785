//! The archive as a file: written beside its place, read back, and only then put there.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{ArchiveError, Manifest, Summary, Walk};

/// How much is read from a file at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// An archive being written. Dropped before it is finished, it leaves nothing.
pub struct ArchiveWriter {
    path: PathBuf,
    part: PathBuf,
    gzip: Option<GzEncoder<BufWriter<File>>>,
    walk: Walk,
    content: Vec<u8>,
    in_place: bool,
}

impl ArchiveWriter {
    /// Begins an archive that will lie at `path`, where nothing may be yet.
    ///
    /// # Errors
    /// When something is there, or the file cannot be made.
    pub fn create(path: &Path) -> Result<ArchiveWriter, ArchiveError> {
        if path.symlink_metadata().is_ok() {
            return Err(ArchiveError::file(
                path,
                std::io::Error::other("is there already; it is left as it is, give another name"),
            ));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let file = file.map_err(|cause| ArchiveError::file(&part, cause))?;
        let gzip = GzEncoder::new(BufWriter::with_capacity(PIECE_BYTES, file), Compression::default());
        let walk = Walk::default();
        Ok(ArchiveWriter { path: path.to_owned(), part, gzip: Some(gzip), walk, content: Vec::new(), in_place: false })
    }

    /// Takes the next bytes of the engine's tar stream.
    ///
    /// # Errors
    /// When they are no tar stream, or the file cannot be written.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.content.clear();
        self.walk.feed(bytes, &mut self.content)?;
        let Some(gzip) = &mut self.gzip else { return Ok(()) };
        gzip.write_all(&self.content).map_err(|cause| ArchiveError::file(&self.part, cause))
    }

    /// Bytes of content so far.
    pub fn stream_bytes(&self) -> u64 {
        self.walk.counts().stream_bytes
    }

    /// Adds the manifest, brings the file to the disk, reads it back whole and puts it in its place. What `about` says of
    /// the content is filled in.
    ///
    /// # Errors
    /// When the stream broke off, the file cannot be written, or does not come back as it went.
    pub fn finish(mut self, about: Manifest) -> Result<Manifest, ArchiveError> {
        let Summary { sha256, counts, .. } = std::mem::take(&mut self.walk).finish()?;
        let manifest = Manifest { format: super::FORMAT, sha256, counts, ..about };
        if let Some(gzip) = self.gzip.take() {
            let written = write_end(gzip, &manifest.entry());
            written.map_err(|cause| ArchiveError::file(&self.part, cause))?;
        }
        if verify(&self.part)? != manifest {
            return Err(ArchiveError::Differs { what: "manifest" });
        }
        std::fs::rename(&self.part, &self.path).map_err(|cause| ArchiveError::file(&self.path, cause))?;
        self.in_place = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|cause| ArchiveError::file(folder, cause))?;
        Ok(manifest)
    }
}

fn write_end(mut gzip: GzEncoder<BufWriter<File>>, end: &[u8]) -> std::io::Result<()> {
    gzip.write_all(end)?;
    let file = gzip.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()
}

impl Drop for ArchiveWriter {
    fn drop(&mut self) {
        if !self.in_place {
            // Nothing is lost when it stays: the next attempt writes over it.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// An archive being read.
pub struct ArchiveReader {
    path: PathBuf,
    gzip: GzDecoder<BufReader<File>>,
    walk: Walk,
    piece: Vec<u8>,
}

impl ArchiveReader {
    /// Opens an archive.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<ArchiveReader, ArchiveError> {
        let file = File::open(path).map_err(|cause| ArchiveError::file(path, cause))?;
        let gzip = GzDecoder::new(BufReader::with_capacity(PIECE_BYTES, file));
        Ok(ArchiveReader { path: path.to_owned(), gzip, walk: Walk::default(), piece: vec![0; PIECE_BYTES] })
    }

    /// The next bytes of its content; `None` at its end.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn next_content(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        loop {
            let read = self.gzip.read(&mut self.piece).map_err(|cause| ArchiveError::file(&self.path, cause))?;
            if read == 0 {
                return Ok(None);
            }
            let mut content = Vec::with_capacity(read);
            self.walk.feed(&self.piece[..read], &mut content)?;
            if !content.is_empty() {
                return Ok(Some(content));
            }
        }
    }

    /// Its manifest, compared with all that was read.
    ///
    /// # Errors
    /// When it was not whole, or is not what its manifest says.
    pub fn finish(self) -> Result<Manifest, ArchiveError> {
        Manifest::of(&self.walk.finish()?)
    }
}

/// Reads an archive to its end and compares its content with its manifest.
///
/// # Errors
/// When it cannot be read, is cut off or damaged.
pub fn verify(path: &Path) -> Result<Manifest, ArchiveError> {
    let mut reader = ArchiveReader::open(path)?;
    while reader.next_content()?.is_some() {}
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{END_OF_ARCHIVE, file_header};
    use super::*;

    fn stream(data: &[u8]) -> Vec<u8> {
        let mut stream = file_header("./file", 0o644, data.len() as u64).to_vec();
        stream.extend_from_slice(data);
        stream.resize(stream.len().next_multiple_of(512), 0);
        stream.extend_from_slice(&END_OF_ARCHIVE);
        stream
    }

    fn write(path: &Path, data: &[u8]) -> Result<Manifest, ArchiveError> {
        let mut writer = ArchiveWriter::create(path)?;
        for piece in stream(data).chunks(1000) {
            writer.feed(piece)?;
        }
        writer.finish(Manifest { volume: "5_data".into(), ..Manifest::default() })
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let data: Vec<u8> = (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
        let made = write(&path, &data).unwrap();
        assert_eq!((made.counts.files, made.counts.file_bytes, made.format), (1, 200_000, FORMAT_NOW));
        assert_eq!(verify(&path).unwrap(), made);
        let mut reader = ArchiveReader::open(&path).unwrap();
        let mut content = Vec::new();
        while let Some(piece) = reader.next_content().unwrap() {
            content.extend(piece);
        }
        assert_eq!(content, stream(&data)[..content.len()]);
        assert_eq!(content.len() as u64, made.counts.stream_bytes);
        assert!(write(&path, &data).is_err(), "a file that is there is left");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    const FORMAT_NOW: u32 = super::super::FORMAT;

    #[test]
    fn damage_anywhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let made = write(&path, &[3; 5000]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let broken = folder.path().join("b.tar.gz");
        let mut harmless = 0;
        for at in 10..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&broken, changed).unwrap();
            // A run of equal bytes may be written in more ways than one.
            if let Ok(read) = verify(&broken) {
                assert_eq!(read, made, "byte {at} of {}", whole.len());
                harmless += 1;
            }
        }
        assert!(harmless * 20 < whole.len(), "{harmless} of {}", whole.len());
        for end in (0..whole.len()).step_by(7) {
            std::fs::write(&broken, &whole[..end]).unwrap();
            assert!(verify(&broken).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_leaves_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let mut writer = ArchiveWriter::create(&path).unwrap();
        writer.feed(&stream(&[1; 3000])[..2000]).unwrap();
        assert!(writer.finish(Manifest::default()).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
