//! Events that wait to be written: equal ones are folded, more than an hour's share is left out, all is bounded.
//!
//! Flash wears by being written, so an event never causes a write of its own at once: it rides with the next commit, or is
//! written with others after a while. What a power cut takes of them stands in the device's own log.

use crate::events::{Event, Level};

/// Events written in an hour at most; a service that crashes all the time must not wear the flash.
const ROWS_PER_HOUR: u32 = 120;
const HOUR_MS: i64 = 3_600_000;
/// Characters of a text that are kept.
const TEXT_CHARS: usize = 1000;
/// Characters of a name that are kept.
const NAME_CHARS: usize = 200;
/// How long events are kept unless told otherwise (`LOG_RETENTION_DAYS`), ms.
const RETENTION_MS: i64 = 7 * 86_400_000;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub kind: &'static str,
    pub app: Option<String>,
    pub service: Option<String>,
    pub text: String,
    /// When it happened last.
    pub at_ms: Option<i64>,
    pub boot_ms: i64,
    /// How often.
    pub count: u32,
}

impl Noted {
    fn is_same(&self, other: &Noted) -> bool {
        (self.kind, &self.app, &self.service, &self.text) == (other.kind, &other.app, &other.service, &other.text)
    }
}

/// The events that wait.
#[derive(Debug)]
pub(super) struct Journal {
    waiting: Vec<Noted>,
    hour_began_boot_ms: i64,
    rows_this_hour: u32,
    left_out: u32,
    /// How long written events are kept, ms.
    pub retention_ms: i64,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { waiting: Vec::new(), hour_began_boot_ms: 0, rows_this_hour: 0, left_out: 0, retention_ms: RETENTION_MS }
    }
}

impl Journal {
    /// Takes note of an event.
    pub fn add(&mut self, event: &Event, boot_ms: i64) {
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let text = if event.message.is_empty() { "(no text)".to_owned() } else { cut(&event.message, TEXT_CHARS) };
        let name = |name: &Option<String>| name.as_ref().map(|name| cut(name, NAME_CHARS));
        let (app, service) = (name(&event.app), name(&event.service));
        self.admit(Noted { kind: word(event.level), app, service, text, at_ms: event.wall_ms, boot_ms, count: 1 });
    }

    fn admit(&mut self, new: Noted) {
        if let Some(same) = self.waiting.iter_mut().find(|waiting| waiting.is_same(&new)) {
            same.count = same.count.saturating_add(new.count);
            (same.at_ms, same.boot_ms) = (new.at_ms, new.boot_ms);
            return;
        }
        if new.boot_ms - self.hour_began_boot_ms >= HOUR_MS {
            (self.hour_began_boot_ms, self.rows_this_hour) = (new.boot_ms, 0);
        }
        if self.rows_this_hour >= ROWS_PER_HOUR {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.rows_this_hour += 1;
        self.waiting.push(new);
    }

    /// Hands over what waits, in the order it first happened.
    pub fn take(&mut self, at_ms: Option<i64>, boot_ms: i64) -> Vec<Noted> {
        let mut taken = std::mem::take(&mut self.waiting);
        if self.left_out > 0 && !taken.is_empty() {
            let text = format!("{} more events were left out: {ROWS_PER_HOUR} an hour are kept", self.left_out);
            taken.push(Noted { kind: "warning", app: None, service: None, text, at_ms, boot_ms, count: 1 });
            self.left_out = 0;
        }
        taken
    }

    /// What was handed over could not be written and waits again.
    pub fn give_back(&mut self, taken: Vec<Noted>) {
        let since = std::mem::replace(&mut self.waiting, taken);
        for new in since {
            match self.waiting.iter_mut().find(|waiting| waiting.is_same(&new)) {
                Some(same) => same.count = same.count.saturating_add(new.count),
                None => self.waiting.push(new),
            }
        }
        // While nothing can be written for days, the newest hour's are kept.
        let excess = self.waiting.len().saturating_sub(ROWS_PER_HOUR as usize);
        self.waiting.drain(..excess);
    }

    /// Whether anything waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        Event { level: Level::Info, app: Some("a".into()), service: None, message: message.into(), wall_ms: None }
    }

    #[test]
    fn equal_events_are_one_with_a_count() {
        let mut journal = Journal::default();
        for boot_ms in 0..10 {
            journal.add(&event("crashed"), boot_ms);
            journal.add(&event("started"), boot_ms);
        }
        let taken = journal.take(None, 10);
        let seen: Vec<_> = taken.iter().map(|noted| (noted.text.as_str(), noted.count, noted.boot_ms)).collect();
        assert_eq!(seen, [("crashed", 10, 9), ("started", 10, 9)]);
        assert!(journal.is_empty());
    }

    #[test]
    fn an_hours_share_is_kept_and_the_rest_is_counted() {
        let mut journal = Journal::default();
        for number in 0..500 {
            journal.add(&event(&format!("{number}{}", "x".repeat(5000))), number);
        }
        let taken = journal.take(None, 500);
        assert_eq!(taken.len(), ROWS_PER_HOUR as usize + 1);
        assert_eq!(taken.last().unwrap().text, "380 more events were left out: 120 an hour are kept");
        assert!(taken.iter().all(|noted| noted.text.chars().count() <= TEXT_CHARS));
        journal.add(&event("too many still"), HOUR_MS - 1);
        assert!(journal.is_empty());
        journal.add(&event("the next hour"), HOUR_MS);
        assert_eq!(journal.take(None, HOUR_MS).len(), 2, "it, and that one was left out");
    }

    #[test]
    fn what_could_not_be_written_waits_again_without_growing() {
        let mut journal = Journal::default();
        for hour in 0..10 {
            for number in 0..100 {
                journal.add(&event(&format!("{hour} {number}")), hour * HOUR_MS);
            }
            let taken = journal.take(None, 0);
            journal.add(&event("meanwhile"), hour * HOUR_MS);
            journal.give_back(taken);
        }
        assert_eq!(journal.waiting.len(), ROWS_PER_HOUR as usize);
        assert!(journal.waiting.iter().any(|noted| noted.text == "meanwhile"));
        assert!(journal.waiting.iter().all(|noted| !noted.text.starts_with("0 ")), "the oldest are given up");
    }
}
