//! Compression of one body: each piece can be unpacked as soon as it arrives.

use std::io::{Result, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// One gzip file in the making. It holds a third of a megabyte, so it lives only as long as its connection.
pub(super) struct Pack(GzEncoder<Vec<u8>>);

impl Pack {
    pub fn new() -> Pack {
        Pack(GzEncoder::new(Vec::new(), Compression::default()))
    }

    /// Packs a text up to a point from where the other side can read all of it.
    pub fn piece(&mut self, text: &[u8]) -> Result<Bytes> {
        self.0.write_all(text)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }

    /// Packs the last text and ends the file.
    pub fn last(mut self, text: &[u8]) -> Result<Bytes> {
        self.0.write_all(text)?;
        self.0.finish().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_can_be_read_when_it_arrives() {
        let mut pack = Pack::new();
        let mut unpack = flate2::write::GzDecoder::new(Vec::new());
        for text in ["one\n", "two\n"] {
            unpack.write_all(&pack.piece(text.as_bytes()).unwrap()).unwrap();
            unpack.flush().unwrap();
            assert_eq!(std::mem::take(unpack.get_mut()), text.as_bytes());
        }
        unpack.write_all(&pack.last(b"three\n").unwrap()).unwrap();
        assert_eq!(unpack.finish().unwrap(), b"three\n");
    }
}
