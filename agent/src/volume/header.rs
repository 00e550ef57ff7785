//! The header of one tar entry, as far as it has to be understood to find the next one.

use super::{ArchiveError, BLOCK_BYTES};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// Symbolic or hard.
    Link,
    /// More about the entry that follows.
    Extension,
    /// Devices, pipes, and whatever else there is.
    Other,
}

/// A header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Whether it is an extended header in which the next entry's size may stand.
    pub is_pax: bool,
    /// Bytes that follow, without what fills the last block up.
    pub size: u64,
}

impl Header {
    /// Reads a header; its checksum must be right.
    pub fn parse(block: &[u8; BLOCK_BYTES]) -> Result<Header, ArchiveError> {
        let sum: u64 =
            block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(ArchiveError::malformed("it is not a tar stream, or is damaged: the checksum of an entry is wrong"));
        }
        let kind = match block[156] {
            b'0' | b'7' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'1' | b'2' => Kind::Link,
            b'x' | b'g' | b'L' | b'K' => Kind::Extension,
            _ => Kind::Other,
        };
        // Entries of these kinds have no content, whatever their size says.
        let empty = matches!(block[156], b'1'..=b'6');
        let size = if empty { Some(0) } else { number(&block[124..136]) };
        let size = size.ok_or_else(|| ArchiveError::malformed("it is not a tar stream: the size of an entry makes no sense"))?;
        let name = block[..100].split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        Ok(Header { name, kind, is_pax: block[156] == b'x', size })
    }
}

/// A number in octal digits, or in binary where the highest bit says so.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        let begin = u64::from(first & 0x7f);
        return rest.iter().try_fold(begin, |value, byte| value.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The size that an extended header gives for the next entry.
pub(super) fn pax_size(records: &[u8]) -> Option<u64> {
    let mut rest = records;
    let mut size = None;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length)?;
        if let Some(value) = record.strip_prefix(b"size=") {
            size = std::str::from_utf8(value).ok()?.trim_end().parse().ok();
        }
        rest = rest.get(length..)?;
    }
    size
}

/// The header of a plain file without owner and time.
pub fn file_header(name: &str, mode: u32, size: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    put(&mut block, 0, 100, name);
    put(&mut block, 100, 8, &format!("{mode:07o}"));
    put(&mut block, 108, 8, "0000000");
    put(&mut block, 116, 8, "0000000");
    put(&mut block, 124, 12, &format!("{size:011o}"));
    put(&mut block, 136, 12, "00000000000");
    put(&mut block, 148, 8, "        ");
    put(&mut block, 156, 1, "0");
    put(&mut block, 257, 8, "ustar\x0000");
    // The checksum counts its own field as spaces.
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    put(&mut block, 148, 8, &format!("{sum:06o}\0 "));
    block
}

fn put(block: &mut [u8; BLOCK_BYTES], at: usize, length: usize, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(length)];
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_went() {
        let header = Header::parse(&file_header("./a/b", 0o640, 8_000_000)).unwrap();
        assert_eq!((header.name.as_slice(), header.kind, header.size), (b"./a/b".as_slice(), Kind::File, 8_000_000));
        let mut damaged = file_header("./a", 0o640, 1);
        damaged[3] ^= 1;
        assert!(Header::parse(&damaged).is_err());
    }

    #[test]
    fn numbers_in_all_their_spellings() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]), Some(3 << 32));
        assert_eq!(number(&[0xff; 12]), None);
        assert_eq!(number(b"12x4"), None);
    }

    #[test]
    fn extended_headers_may_give_the_size() {
        assert_eq!(pax_size(b"20 mtime=1234567.890\n19 size=10000000000\n"), None, "the first length is wrong");
        assert_eq!(pax_size(b"21 mtime=1234567.890\n20 size=10000000000\n"), Some(10_000_000_000));
        assert_eq!(pax_size(b"nonsense"), None);
        assert_eq!(pax_size(b"99999999999999999999 x"), None);
    }
}
