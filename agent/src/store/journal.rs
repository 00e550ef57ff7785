//! Events that wait to be written: equal ones are folded, more than an hour's share is left out, all is bounded.
//!
//! Flash wears by being written, so an event never causes a write of its own at once: it rides with the next commit, or is
//! written with others after a while. What a power cut takes of them stands in the device's own log.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::event_log::StoredEvent;
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
/// Events that are kept in memory as they came, for whoever follows them.
const RECENT: usize = 256;
/// Bytes of their texts.
const RECENT_BYTES: usize = 64 * 1024;
/// Each run's ids begin so far after the newest that is stored: those that a power cut kept from being written were given to
/// readers all the same, and must not be given to others.
const ID_STEP: i64 = 100_000;

/// An event with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub id: i64,
    /// The event, cut to size; of several equal ones the last.
    pub event: Event,
    pub boot_ms: i64,
    /// How often.
    pub count: u32,
}

impl Noted {
    fn is_same(&self, other: &Noted) -> bool {
        let what = |noted: &Noted| Event { wall_ms: None, ..noted.event.clone() };
        what(self) == what(other)
    }

    fn bytes(&self) -> usize {
        let name = |name: &Option<String>| name.as_ref().map_or(0, String::len);
        self.event.message.len() + name(&self.event.app) + name(&self.event.service)
    }

    fn stored(&self) -> StoredEvent {
        StoredEvent { id: self.id, event: self.event.clone(), count: self.count }
    }
}

/// The events that wait, and those of late.
#[derive(Debug)]
pub(super) struct Journal {
    waiting: Vec<Noted>,
    recent: VecDeque<Noted>,
    recent_bytes: usize,
    next_id: i64,
    /// The newest id, for whoever waits for another.
    pub told: watch::Sender<i64>,
    hour_began_boot_ms: i64,
    rows_this_hour: u32,
    left_out: u32,
    /// How long written events are kept, ms.
    pub retention_ms: i64,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal::after(0)
    }
}

impl Journal {
    /// One whose ids come after all that any run before may have given.
    pub fn after(newest_stored: i64) -> Journal {
        let next_id = newest_stored.saturating_add(ID_STEP + 1);
        Journal {
            waiting: Vec::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            next_id,
            told: watch::Sender::new(next_id - 1),
            hour_began_boot_ms: 0,
            rows_this_hour: 0,
            left_out: 0,
            retention_ms: RETENTION_MS,
        }
    }

    /// Takes note of an event.
    pub fn add(&mut self, event: &Event, boot_ms: i64) {
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let message = if event.message.is_empty() { "(no text)".to_owned() } else { cut(&event.message, TEXT_CHARS) };
        let name = |name: &Option<String>| name.as_ref().map(|name| cut(name, NAME_CHARS));
        let event = Event { app: name(&event.app), service: name(&event.service), message, ..*event };
        let noted = self.number(event, boot_ms);
        self.admit(noted);
    }

    /// Gives an event its id and shows it to whoever follows.
    fn number(&mut self, event: Event, boot_ms: i64) -> Noted {
        let noted = Noted { id: self.next_id, event, boot_ms, count: 1 };
        self.next_id = self.next_id.saturating_add(1);
        self.recent_bytes += noted.bytes();
        self.recent.push_back(noted.clone());
        while self.recent.len() > RECENT || (self.recent_bytes > RECENT_BYTES && self.recent.len() > 1) {
            self.recent_bytes -= self.recent.pop_front().map_or(0, |oldest| oldest.bytes());
        }
        self.told.send_replace(noted.id);
        noted
    }

    fn admit(&mut self, new: Noted) {
        if let Some(same) = self.waiting.iter_mut().find(|waiting| waiting.is_same(&new)) {
            // It stands for all of them, in the place of the last: who has seen that one has seen it.
            *same = Noted { count: same.count.saturating_add(new.count), ..new };
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

    /// Hands over what waits, in the order of ids.
    pub fn take(&mut self, at_ms: Option<i64>, boot_ms: i64) -> Vec<Noted> {
        let mut taken = std::mem::take(&mut self.waiting);
        if self.left_out > 0 && !taken.is_empty() {
            let text = format!("{} more events were left out: {ROWS_PER_HOUR} an hour are kept", self.left_out);
            taken.push(self.number(Event::note(Level::Warning, text, at_ms), boot_ms));
            self.left_out = 0;
        }
        taken.sort_by_key(|noted| noted.id);
        taken
    }

    /// What was handed over could not be written and waits again.
    pub fn give_back(&mut self, taken: Vec<Noted>) {
        let since = std::mem::replace(&mut self.waiting, taken);
        for new in since {
            match self.waiting.iter_mut().find(|waiting| waiting.is_same(&new)) {
                Some(same) => *same = Noted { count: same.count.saturating_add(new.count), ..new },
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

    /// The newest id that was given.
    pub fn newest(&self) -> i64 {
        self.next_id - 1
    }

    /// The id from which on every event is in memory.
    pub fn first_recent(&self) -> i64 {
        self.recent.front().map_or(self.next_id, |oldest| oldest.id)
    }

    /// Events of late after an id, oldest first: the first ones or the `newest`.
    pub fn recent_after(&self, after: i64, most: usize, newest: bool) -> Vec<StoredEvent> {
        let begin = self.recent.partition_point(|noted| noted.id <= after);
        let skip = if newest { (self.recent.len() - begin).saturating_sub(most) } else { 0 };
        self.recent.iter().skip(begin + skip).take(most).map(Noted::stored).collect()
    }

    /// Events that wait and have ids between these two.
    pub fn waiting_between(&self, after: i64, before: i64) -> Vec<StoredEvent> {
        self.waiting.iter().filter(|noted| noted.id > after && noted.id < before).map(Noted::stored).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        Event { app: Some("a".into()), ..Event::note(Level::Info, message.into(), None) }
    }

    #[test]
    fn equal_events_are_one_with_a_count() {
        let mut journal = Journal::default();
        for boot_ms in 0..10 {
            journal.add(&event("crashed"), boot_ms);
            journal.add(&event("started"), boot_ms);
        }
        let taken = journal.take(None, 10);
        let seen: Vec<_> = taken.iter().map(|noted| (noted.event.message.as_str(), noted.count, noted.boot_ms)).collect();
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
        assert_eq!(taken.last().unwrap().event.message, "380 more events were left out: 120 an hour are kept");
        assert!(taken.iter().all(|noted| noted.event.message.chars().count() <= TEXT_CHARS));
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
        assert!(journal.waiting.iter().any(|noted| noted.event.message == "meanwhile"));
        assert!(journal.waiting.iter().all(|noted| !noted.event.message.starts_with("0 ")), "the oldest are given up");
    }

    #[test]
    fn whoever_follows_gets_each_event_once_whatever_is_folded_or_left_out() {
        let mut journal = Journal::default();
        let mut followed = journal.newest();
        let mut seen = 0;
        for number in 0..1000 {
            journal.add(&event(if number % 3 == 0 { "again" } else { "other" }), 0);
            journal.add(&event(&format!("only {number}")), 0);
            let new = journal.recent_after(followed, 10, false);
            assert!(new.iter().all(|stored| stored.count == 1));
            followed = new.last().unwrap().id;
            seen += new.len();
        }
        assert_eq!((seen, followed), (2000, journal.newest()));
        assert!(journal.recent.len() <= RECENT && journal.recent_bytes <= RECENT_BYTES);
        let newest = journal.recent_after(0, 3, true);
        assert_eq!(newest.last().unwrap().event.message, "only 999");
        assert_eq!(newest.len(), 3);
    }

    #[test]
    fn a_folded_event_takes_the_place_of_its_last() {
        let mut journal = Journal::default();
        for text in ["again", "one", "again", "two"] {
            journal.add(&event(text), 0);
        }
        let first = journal.first_recent();
        let taken = journal.take(None, 0);
        let seen: Vec<_> = taken.iter().map(|noted| (noted.id - first, noted.event.message.as_str(), noted.count)).collect();
        assert_eq!(seen, [(1, "one", 1), (2, "again", 2), (3, "two", 1)]);
    }

    #[test]
    fn the_next_run_gives_none_of_the_ids_again() {
        let mut journal = Journal::after(0);
        journal.add(&event("stored"), 0);
        let stored = journal.newest();
        for number in 0..5000 {
            journal.add(&event(&number.to_string()), 0);
        }
        assert!(Journal::after(stored).first_recent() > journal.newest());
        assert!(Journal::after(i64::MAX - 1).newest() > 0, "nothing that stands in a file makes it panic");
    }

    #[test]
    fn long_texts_do_not_fill_the_memory() {
        let mut journal = Journal::default();
        for number in 0..1000 {
            journal.add(&event(&format!("{number}{}", "\u{1f980}".repeat(2000))), number);
        }
        assert!(journal.recent_bytes <= RECENT_BYTES && !journal.recent.is_empty(), "{}", journal.recent_bytes);
    }
}
