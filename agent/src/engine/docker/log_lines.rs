//! From the bytes of a log to its lines.
//!
//! Without a terminal each message comes in a frame of its own with a header of eight bytes: which stream, how long. With one
//! the bytes come as they are. Every message begins with its time, so the first byte tells which it is: a digit, or the number
//! of a stream. Nothing here grows with what a container writes: a line of more than 16 KiB is given in pieces.

use super::time::unix_ns;
use crate::engine::LogLine;

/// The longest piece of a line: what the engine itself keeps together.
const LONGEST: usize = 16 * 1024;
/// The longest time stamp.
const LONGEST_TIME: usize = 64;
/// Bytes of a frame's header.
const HEADER: usize = 8;
/// Number of standard error in it.
const STDERR: u8 = 2;

/// What reads a log.
#[derive(Debug, Default)]
pub(super) struct Reading {
    form: Form,
    /// Bytes of a header that is not whole yet.
    header: Vec<u8>,
    /// Bytes of the frame that are still to come.
    frame: usize,
    is_error: bool,
    /// The line so far, with its time.
    line: Vec<u8>,
    /// The time of the line before: of one that has none.
    time_ns: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Unknown,
    Framed,
    Plain,
}

impl Reading {
    /// Takes in bytes and gives out the lines that are whole.
    pub fn feed(&mut self, mut bytes: &[u8], lines: &mut Vec<LogLine>) {
        if self.form == Form::Unknown {
            self.form = match bytes.first() {
                None => return,
                Some(byte) if *byte <= STDERR => Form::Framed,
                Some(_) => Form::Plain,
            };
        }
        if self.form == Form::Plain {
            return self.write(bytes, lines);
        }
        while !bytes.is_empty() {
            if self.frame == 0 {
                let (begin, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                self.header.extend_from_slice(begin);
                bytes = rest;
                if let [stream, _, _, _, a, b, c, d] = self.header[..] {
                    self.is_error = stream == STDERR;
                    self.frame = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.header.clear();
                }
                continue;
            }
            let (content, rest) = bytes.split_at(bytes.len().min(self.frame));
            self.frame -= content.len();
            bytes = rest;
            self.write(content, lines);
            if self.frame == 0 {
                self.finish(lines);
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8], lines: &mut Vec<LogLine>) {
        while !bytes.is_empty() {
            let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            let room = (LONGEST + self.stamp_bytes()).saturating_sub(self.line.len());
            if room == 0 && line > 0 {
                // There is more of it than fits.
                self.end_line(lines);
                continue;
            }
            let taken = line.min(room);
            self.line.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [b'\n', rest @ ..] = bytes {
                bytes = rest;
                self.end_line(lines);
            }
        }
    }

    /// What was begun is all there is.
    pub fn finish(&mut self, lines: &mut Vec<LogLine>) {
        if !self.line.is_empty() {
            self.end_line(lines);
        }
    }

    /// Bytes of the time the line begins with, and the blank after it.
    fn stamp_bytes(&self) -> usize {
        let begin = &self.line[..self.line.len().min(LONGEST_TIME)];
        begin.iter().position(|byte| *byte == b' ').map_or(LONGEST_TIME, |at| at + 1)
    }

    fn end_line(&mut self, lines: &mut Vec<LogLine>) {
        let mut line = std::mem::take(&mut self.line);
        let begin = &line[..line.len().min(LONGEST_TIME)];
        let stamp = begin.iter().position(|byte| *byte == b' ').unwrap_or(begin.len());
        let time_ns = std::str::from_utf8(&line[..stamp]).ok().and_then(unix_ns);
        if let Some(time_ns) = time_ns {
            self.time_ns = time_ns;
            line.drain(..(stamp + 1).min(line.len()));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        lines.push(LogLine { time_ns: self.time_ns, is_error: self.is_error, text: line });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: &str = "2026-11-21T07:54:00.123456789Z";
    const TIME_NS: i64 = 1_795_247_640_123_456_789;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut content = format!("{STAMP} ").into_bytes();
        content.extend_from_slice(text);
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
        frame.extend(content);
        frame
    }

    fn read(bytes: &[u8], at_once: usize) -> Vec<LogLine> {
        let (mut reading, mut lines) = (Reading::default(), Vec::new());
        bytes.chunks(at_once).for_each(|part| reading.feed(part, &mut lines));
        reading.finish(&mut lines);
        lines
    }

    fn line(is_error: bool, text: &[u8]) -> LogLine {
        LogLine { time_ns: TIME_NS, is_error, text: text.to_vec() }
    }

    #[test]
    fn frames_are_lines_of_two_streams_however_they_arrive() {
        let bytes = [frame(1, b"out\n"), frame(2, b"\x00\xff\x1b\n"), frame(1, b"\n"), frame(1, b"no end")].concat();
        for at_once in [1, 3, 7, 1000] {
            let expected = [line(false, b"out"), line(true, b"\x00\xff\x1b"), line(false, b""), line(false, b"no end")];
            assert_eq!(read(&bytes, at_once), expected, "{at_once}");
        }
    }

    #[test]
    fn with_a_terminal_the_lines_come_as_they_are() {
        let bytes = format!("{STAMP} one\r\n{STAMP} \u{1}two\r\n{STAMP} \r\n{STAMP} three");
        for at_once in [1, 5, 1000] {
            let expected = [line(false, b"one"), line(false, b"\x01two"), line(false, b""), line(false, b"three")];
            assert_eq!(read(bytes.as_bytes(), at_once), expected);
        }
    }

    #[test]
    fn a_line_without_end_is_given_in_pieces() {
        let long = vec![b'x'; 40_000];
        for bytes in [frame(1, &long), [STAMP.as_bytes(), b" ", &long].concat()] {
            let lines = read(&bytes, 999);
            assert_eq!(lines.iter().map(|line| line.text.len()).sum::<usize>(), 40_000);
            assert!(lines[0].text.len() == LONGEST && lines.iter().all(|line| line.text.len() <= LONGEST + LONGEST_TIME));
            assert!(lines.iter().all(|line| line.time_ns == TIME_NS));
        }
        // With a terminal the engine's own pieces follow each other without an end, each with its time.
        let piece = |text: &[u8]| [STAMP.as_bytes(), b" ", text].concat();
        let lines = read(&[piece(&long[..LONGEST]), piece(b"rest\r\n")].concat(), 999);
        assert_eq!(lines.iter().map(|line| line.text.len()).collect::<Vec<_>>(), [LONGEST, 4]);
        // One that just fits is one.
        assert_eq!(read(&frame(1, &[&long[..16_384], b"\n"].concat()), 999).len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..5000), at_once in 1_usize..700) {
            for first in [1, b'2'] {
                let bytes = [&[first][..], &bytes].concat();
                let lines = read(&bytes, at_once);
                prop_assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= bytes.len());
            }
        }
    }
}
