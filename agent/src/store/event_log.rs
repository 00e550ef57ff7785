//! Events as they are read back, by their ids.
//!
//! Every event gets an id when it is noted, long before it is written. What was noted lately is kept in memory as it came;
//! before that there is what the database has: equal ones folded into the last of them, and no more than an hour's share.

use rusqlite::Connection;

use super::journal::Journal;
use super::tables;
use super::writer::locked;
use crate::events::Event;

/// An event with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Grows with each event, also from one run of the agent to the next. There are numbers that no event has.
    pub id: i64,
    /// The event; when it is one of several equal ones, the last of them.
    pub event: Event,
    /// How many it stands for.
    pub count: u32,
}

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventRange {
    /// Those after an id, the oldest first.
    After(i64),
    /// The newest.
    Newest,
}

/// A part of the events, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether events before the first of these, and after the id that was asked for, may be gone.
    pub gap: bool,
}

/// Reads events: the database's, those that wait for it, those that are still in memory.
pub(super) fn read(
    connection: &Connection,
    journal: &std::sync::Mutex<Journal>,
    range: EventRange,
    most: usize,
) -> rusqlite::Result<EventPage> {
    let (first_recent, newest) = {
        let journal = locked(journal);
        (journal.first_recent(), journal.newest())
    };
    let (after, gap) = match range {
        // A number of another life of the database: from the beginning.
        EventRange::After(after) if after > newest => (0, true),
        EventRange::After(after) => (after.max(0), false),
        EventRange::Newest => (0, false),
    };
    let is_newest = range == EventRange::Newest;
    let recent = |after| locked(journal).recent_after(after, most, is_newest);
    if after + 1 >= first_recent {
        return Ok(EventPage { events: recent(after), gap });
    }
    let oldest = tables::event::bounds(connection)?.map_or(first_recent, |(oldest, _)| oldest);
    let gap = gap || (after > 0 && after + 1 < oldest);
    let mut events = tables::event::read(connection, (after, first_recent), most, is_newest)?;
    events.extend(locked(journal).waiting_between(after, first_recent));
    events.sort_by_key(|stored| stored.id);
    if is_newest {
        events.extend(recent(after));
        let excess = events.len().saturating_sub(most);
        events.drain(..excess);
    } else if events.is_empty() {
        events = recent(after);
    } else {
        events.truncate(most);
    }
    Ok(EventPage { events, gap })
}
