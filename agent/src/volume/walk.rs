//! Going through a tar stream as it passes: where its entries are, what they add up to, and whether it is whole.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::header::{Header, Kind, pax_size};
use super::{ArchiveError, BLOCK_BYTES, MANIFEST_NAME};

/// The largest extended header and the largest manifest that are read, bytes.
const GATHER_BYTES: u64 = 1024 * 1024;

/// What a content adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// Plain files.
    pub files: u64,
    /// Folders, the volume's own root among them.
    pub folders: u64,
    /// Links, symbolic and hard.
    pub links: u64,
    /// Devices, pipes and the like.
    pub others: u64,
    /// Bytes in the files.
    pub file_bytes: u64,
    /// Bytes of the tar stream up to its end mark.
    pub stream_bytes: u64,
}

/// A whole content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of the stream up to its end mark or the manifest, in hex.
    pub sha256: String,
    /// What it adds up to.
    pub counts: Counts,
    /// The manifest, where one followed.
    pub manifest: Option<Vec<u8>>,
}

/// What the next bytes are.
enum At {
    Header,
    /// So many bytes of content, and so many that fill its last block up.
    Data {
        left: u64,
        padding: u64,
        to: To,
    },
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Pass,
    Extension,
    Manifest,
}

/// A tar stream on its way. It holds one block and no more.
pub struct Walk {
    at: At,
    block: [u8; BLOCK_BYTES],
    filled: usize,
    gathered: Vec<u8>,
    size_of_next: Option<u64>,
    manifest: Option<Vec<u8>>,
    hash: Context,
    counts: Counts,
}

impl Default for Walk {
    fn default() -> Walk {
        Walk {
            at: At::Header,
            block: [0; BLOCK_BYTES],
            filled: 0,
            gathered: Vec::new(),
            size_of_next: None,
            manifest: None,
            hash: Context::new(&SHA256),
            counts: Counts::default(),
        }
    }
}

impl Walk {
    /// Takes the next bytes and appends those of them that are content to `content`: neither the end mark nor a manifest.
    ///
    /// # Errors
    /// When this is no tar stream.
    pub fn feed(&mut self, mut bytes: &[u8], content: &mut Vec<u8>) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::End => return Ok(()),
                At::Header => {
                    let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
                    self.block[self.filled..self.filled + now.len()].copy_from_slice(now);
                    self.filled += now.len();
                    bytes = later;
                    if self.filled == BLOCK_BYTES {
                        self.filled = 0;
                        self.header(content)?;
                    }
                }
                At::Data { left, padding, to } => {
                    let whole = *left + *padding;
                    let (now, later) = bytes.split_at(usize::try_from(whole).unwrap_or(usize::MAX).min(bytes.len()));
                    let data = usize::try_from(*left).unwrap_or(usize::MAX).min(now.len());
                    *left -= data as u64;
                    *padding -= (now.len() - data) as u64;
                    let (to, done) = (*to, whole == now.len() as u64);
                    bytes = later;
                    self.data(to, now, data, content);
                    if done {
                        self.entry_ends(to);
                    }
                }
            }
        }
        Ok(())
    }

    /// What the content adds up to so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether its end mark has come.
    pub fn is_whole(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// What went by.
    ///
    /// # Errors
    /// When the stream ended before its end mark.
    pub fn finish(self) -> Result<Summary, ArchiveError> {
        if !self.is_whole() {
            return Err(ArchiveError::malformed("it breaks off in the middle"));
        }
        let sha256 = crate::settings::hex(self.hash.finish().as_ref());
        Ok(Summary { sha256, counts: self.counts, manifest: self.manifest })
    }

    fn pass(&mut self, bytes: &[u8], content: &mut Vec<u8>) {
        self.hash.update(bytes);
        self.counts.stream_bytes += bytes.len() as u64;
        content.extend_from_slice(bytes);
    }

    fn header(&mut self, content: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let block = self.block;
        if block == [0; BLOCK_BYTES] {
            self.at = At::End;
            return Ok(());
        }
        if self.manifest.is_some() {
            return Err(ArchiveError::malformed("something follows its manifest"));
        }
        let header = Header::parse(&block)?;
        let is_manifest = header.name == MANIFEST_NAME.as_bytes();
        let to = match header.kind {
            Kind::File if is_manifest => To::Manifest,
            Kind::Extension if header.is_pax => To::Extension,
            _ => To::Pass,
        };
        let size = match header.kind {
            Kind::Extension => header.size,
            _ => self.size_of_next.take().unwrap_or(header.size),
        };
        if to != To::Pass && size > GATHER_BYTES {
            return Err(ArchiveError::malformed("an entry about another one, or the manifest, is larger than any can be"));
        }
        if to != To::Manifest {
            self.count(header.kind, size);
            self.pass(&block, content);
        }
        self.gathered.clear();
        let padding = size.wrapping_neg() % BLOCK_BYTES as u64;
        if size.checked_add(padding).is_none() {
            return Err(ArchiveError::malformed("the size of an entry makes no sense"));
        }
        self.at = if size == 0 { At::Header } else { At::Data { left: size, padding, to } };
        Ok(())
    }

    fn count(&mut self, kind: Kind, size: u64) {
        let counts = &mut self.counts;
        match kind {
            Kind::File => {
                counts.files += 1;
                counts.file_bytes = counts.file_bytes.saturating_add(size);
            }
            Kind::Folder => counts.folders += 1,
            Kind::Link => counts.links += 1,
            Kind::Other => counts.others += 1,
            Kind::Extension => {}
        }
    }

    /// Bytes of an entry, of which the first so many are its data and the others fill it up.
    fn data(&mut self, to: To, bytes: &[u8], data: usize, content: &mut Vec<u8>) {
        if to != To::Pass {
            self.gathered.extend_from_slice(&bytes[..data]);
        }
        if to != To::Manifest {
            self.pass(bytes, content);
        }
    }

    fn entry_ends(&mut self, to: To) {
        self.at = At::Header;
        match to {
            To::Pass => {}
            To::Extension => self.size_of_next = pax_size(&self.gathered),
            To::Manifest => self.manifest = Some(std::mem::take(&mut self.gathered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{END_OF_ARCHIVE, file_header};
    use super::*;

    fn entry(name: &str, data: &[u8]) -> Vec<u8> {
        let mut entry = file_header(name, 0o644, data.len() as u64).to_vec();
        entry.extend_from_slice(data);
        entry.resize(entry.len().next_multiple_of(BLOCK_BYTES), 0);
        entry
    }

    fn walk(stream: &[u8], pieces: usize) -> (Result<Summary, ArchiveError>, Vec<u8>) {
        let (mut walk, mut content) = (Walk::default(), Vec::new());
        for piece in stream.chunks(pieces) {
            if let Err(error) = walk.feed(piece, &mut content) {
                return (Err(error), content);
            }
        }
        (walk.finish(), content)
    }

    #[test]
    fn it_does_not_matter_how_the_stream_is_cut() {
        let entries = [entry("./a", &[7; 1300]), entry("./empty", b""), entry("./b", &[8; 512])].concat();
        let manifest = entry(MANIFEST_NAME, b"{}");
        let stream = [entries.clone(), manifest, END_OF_ARCHIVE.to_vec(), vec![0; 3000]].concat();
        let (expected, _) = walk(&stream, stream.len());
        let expected = expected.unwrap();
        assert_eq!((expected.counts.files, expected.counts.file_bytes), (3, 1812));
        assert_eq!(expected.counts.stream_bytes, entries.len() as u64);
        assert_eq!(expected.manifest.as_deref(), Some(b"{}".as_slice()));
        for pieces in [1, 7, 511, 512, 513, 4096] {
            let (summary, content) = walk(&stream, pieces);
            assert_eq!((summary.unwrap(), content == entries), (expected.clone(), true), "{pieces}");
        }
    }

    #[test]
    fn a_large_size_stands_in_an_extended_header() {
        let mut extended = entry("./PaxHeaders/a", b"12 size=600\n");
        extended[156] = b'x';
        let sum: u32 =
            extended[..512].iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { 32 } else { u32::from(*b) }).sum();
        extended[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut file = file_header("./a", 0o644, 0).to_vec();
        file.resize(512 + 1024, 9);
        let (summary, _) = walk(&[extended, file, END_OF_ARCHIVE.to_vec()].concat(), 100);
        let counts = summary.unwrap().counts;
        assert_eq!((counts.files, counts.file_bytes), (1, 600));
    }

    #[test]
    fn what_breaks_off_or_is_something_else_is_an_error() {
        let whole = [entry("./a", &[7; 1300]), END_OF_ARCHIVE.to_vec()].concat();
        for end in [0, 100, 512, 700, 2048] {
            assert!(walk(&whole[..end], 99).0.is_err(), "{end}");
        }
        assert!(walk(&[b"x".repeat(512), END_OF_ARCHIVE.to_vec()].concat(), 512).0.is_err());
        let behind = [entry(MANIFEST_NAME, b"{}"), entry("./a", b""), END_OF_ARCHIVE.to_vec()].concat();
        assert!(walk(&behind, 512).0.is_err(), "nothing may follow the manifest");
        let huge = file_header(MANIFEST_NAME, 0o644, 2 << 20);
        assert!(walk(&huge, 512).0.is_err());
    }

    #[test]
    fn any_change_of_a_byte_changes_the_sum() {
        let whole = [entry("./a", &[7; 1300]), END_OF_ARCHIVE.to_vec()].concat();
        let sum = walk(&whole, 512).0.unwrap().sha256;
        let mut changed = whole.clone();
        changed[900] ^= 4;
        assert_ne!(walk(&changed, 512).0.unwrap().sha256, sum);
    }
}
