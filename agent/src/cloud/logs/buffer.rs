//! The lines that wait to be sent: bounded, and honest about what did not fit.

use std::collections::VecDeque;

use holdfast_plan::policy::Now;

use super::line::Line;

/// Most bytes of lines that wait (protocol §13).
const LIMIT_BYTES: usize = 256 * 1024;

/// Lines in order. What does not fit is counted, and said in one line once the others are sent.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    lines: VecDeque<Line>,
    bytes: usize,
    suppressed: u64,
}

impl Buffer {
    /// Adds a line, or counts it when there is no room.
    pub fn push(&mut self, line: Line) {
        if self.bytes + line.size_bytes() > LIMIT_BYTES {
            return self.suppress(1);
        }
        self.bytes += line.size_bytes();
        self.lines.push_back(line);
    }

    /// Counts lines that were lost on the way here.
    pub fn suppress(&mut self, count: u64) {
        self.suppressed = self.suppressed.saturating_add(count);
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.suppressed == 0
    }

    /// Takes the oldest lines as text, until there are this many bytes or none are left.
    pub fn take(&mut self, enough_bytes: usize, now: Now) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < enough_bytes
            && let Some(line) = self.lines.pop_front()
        {
            self.bytes -= line.size_bytes();
            line.write(&mut text, now);
        }
        if self.lines.is_empty() {
            // The room of a burst is given back.
            self.lines = VecDeque::new();
            if self.suppressed > 0 {
                Line::suppressed(std::mem::take(&mut self.suppressed), now).write(&mut text, now);
            }
        }
        text
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Buffer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Event, Level};

    fn line(message: String) -> Line {
        let event = Event::note(Level::Info, message, Some(1));
        Line::of_event(&event, Now::default())
    }

    fn messages(text: &[u8]) -> Vec<String> {
        let read =
            |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap()["message"].as_str().unwrap().to_owned();
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect()
    }

    #[test]
    fn lines_leave_in_order_and_in_portions() {
        let mut buffer = Buffer::default();
        (0..5).for_each(|n| buffer.push(line(format!("line {n}"))));
        assert_eq!(messages(&buffer.take(1, Now::default())), ["line 0"]);
        assert_eq!(messages(&buffer.take(100_000, Now::default())), ["line 1", "line 2", "line 3", "line 4"]);
        assert!(buffer.is_empty() && buffer.bytes == 0);
        assert_eq!(buffer.take(100_000, Now::default()), b"");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said_once_at_the_end() {
        let mut buffer = Buffer::default();
        (0..100).for_each(|n| buffer.push(line(format!("{n:09000}"))));
        assert!(buffer.bytes <= LIMIT_BYTES);
        let kept = buffer.lines.len();
        assert!((20..30).contains(&kept), "{kept}");
        buffer.suppress(7);
        let sent = messages(&buffer.take(usize::MAX, Now::default()));
        assert_eq!(sent.len(), kept + 1);
        assert_eq!(sent[kept], format!("Suppressed {} message(s) due to high load", 100 - kept + 7));
        assert!(buffer.is_empty());
    }

    #[test]
    fn losses_alone_are_something_to_say() {
        let mut buffer = Buffer::default();
        buffer.suppress(3);
        assert!(!buffer.is_empty());
        assert_eq!(messages(&buffer.take(1, Now::default())), ["Suppressed 3 message(s) due to high load"]);
        buffer.suppress(3);
        buffer.clear();
        assert!(buffer.is_empty());
    }
}
