//! The log stream: lines of JSON, possibly compressed, read as they come (protocol §13).

use std::io::Write;

use serde_json::Value;

/// Longest line that is kept, in bytes; a longer one is dropped.
const LINE_BYTES: usize = 256 * 1024;

/// Unpacks a stream piece by piece.
pub struct LogReader {
    unpack: Option<flate2::write::GzDecoder<Vec<u8>>>,
    rest: Vec<u8>,
}

impl LogReader {
    /// For a body with or without `Content-Encoding: gzip`.
    pub fn new(gzip: bool) -> LogReader {
        LogReader { unpack: gzip.then(|| flate2::write::GzDecoder::new(Vec::new())), rest: Vec::new() }
    }

    /// Takes a piece of the body and returns the lines that are complete with it.
    ///
    /// # Errors
    /// When the body is not what it says: the answer is 400.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Value>, String> {
        match &mut self.unpack {
            Some(unpack) => {
                unpack.write_all(piece).and_then(|()| unpack.flush()).map_err(|e| format!("not gzip: {e}"))?;
                self.rest.append(unpack.get_mut());
            }
            None => self.rest.extend_from_slice(piece),
        }
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                lines.push(serde_json::from_slice(&line).map_err(|e| format!("a line is not JSON: {e}"))?);
            }
        }
        if self.rest.len() > LINE_BYTES {
            return Err("a line without end".into());
        }
        Ok(lines)
    }
}

/// Compresses a whole body.
pub fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    pack.write_all(bytes)?;
    pack.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_of_pieces_packed_or_not() {
        let text = b"{\"message\":\"one\"}\n{\"message\":\"two\"}\n";
        for packed in [true, false] {
            let body = if packed { gzip(text).unwrap() } else { text.to_vec() };
            let mut reader = LogReader::new(packed);
            let lines: Vec<Value> = body.chunks(7).flat_map(|piece| reader.take(piece).unwrap()).collect();
            assert_eq!(lines.len(), 2);
            assert_eq!(lines[1]["message"], "two");
        }
        assert!(LogReader::new(false).take(b"nonsense\n").is_err());
        assert!(LogReader::new(true).take(b"this is not gzip at all").is_err());
    }
}
