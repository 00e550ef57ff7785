//! A line and where it comes from.

use std::sync::Arc;

use super::Subject;
use crate::engine::LogLine;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// The agent: what it has to say about the logs.
    System,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was written, ns since 1970.
    pub time_ns: i64,
    /// Whose it is.
    pub subject: Arc<Subject>,
    /// Where it comes from.
    pub source: Source,
    /// The text; what is no UTF-8 in it is replaced.
    pub text: String,
}

impl Line {
    /// A line of a container.
    pub(super) fn of(subject: &Arc<Subject>, line: LogLine) -> Line {
        let source = if line.is_error { Source::Stderr } else { Source::Stdout };
        let text = match String::from_utf8(line.text) {
            Ok(text) => text,
            Err(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        };
        Line { time_ns: line.time_ns, subject: Arc::clone(subject), source, text }
    }

    /// What is wrong with the logs of a service.
    pub(super) fn system(subject: &Arc<Subject>, time_ns: i64, text: String) -> Line {
        Line { time_ns, subject: Arc::clone(subject), source: Source::System, text }
    }
}

/// How far a container's log was read: the time of the last line, and how many of that time there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub time_ns: i64,
    pub lines: u32,
}

impl Mark {
    /// Goes on to a line.
    pub fn pass(&mut self, time_ns: i64) {
        *self = match time_ns == self.time_ns {
            true => Mark { lines: self.lines.saturating_add(1), ..*self },
            false => Mark { time_ns, lines: 1 },
        };
    }
}

/// Passes over the lines that were read before: the engine begins again at the time of the last one.
#[derive(Debug)]
pub(super) struct Resume {
    from: Option<Mark>,
    skipped: u32,
}

impl Resume {
    pub fn new(from: Option<Mark>) -> Resume {
        Resume { from, skipped: 0 }
    }

    /// Whether a line is new.
    pub fn admits(&mut self, time_ns: i64) -> bool {
        let Some(mark) = self.from else { return true };
        if time_ns < mark.time_ns {
            return false;
        }
        if time_ns == mark.time_ns && self.skipped < mark.lines {
            self.skipped += 1;
            return false;
        }
        self.from = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_twice_and_nothing_lost_where_times_are_equal() {
        let times = [5, 7, 7, 7, 7, 9];
        for read in 0..=times.len() {
            let mut mark = Mark::default();
            times[..read].iter().for_each(|time| mark.pass(*time));
            let mut resume = Resume::new((read > 0).then_some(mark));
            let again: Vec<i64> = times.iter().copied().filter(|time| *time >= mark.time_ns).collect();
            let new = again.into_iter().filter(|time| resume.admits(*time)).count();
            assert_eq!(new, times.len() - read, "after {read}");
        }
    }
}
