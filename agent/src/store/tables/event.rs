//! Table `event`.

use rusqlite::{Connection, Row, params};

use super::super::event_log::StoredEvent;
use super::super::journal::Noted;
use super::run::{self, Moment};
use crate::events::{Event, Level, Topic};

/// Events that are kept.
const MOST_ROWS: i64 = 2000;

const INSERT: &str = "INSERT INTO event (id, run_id, at_ms, boot_ms, kind, app, service, text, count, topic)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
// The newest stays, so that its id is not given again. Ids have gaps: rows are counted.
const PRUNE: &str = "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?1)
  OR (at_ms < ?2 AND id < (SELECT max(id) FROM event))";
const AFTER: &str = "SELECT id, kind, topic, app, service, text, at_ms, count FROM event
  WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3";
const NEWEST: &str = "SELECT id, kind, topic, app, service, text, at_ms, count FROM event
  WHERE id > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

/// Writes events and removes those whose time is over.
pub(in crate::store) fn write(
    connection: &Connection,
    noted: &[Noted],
    moment: &Moment<'_>,
    retention_ms: i64,
) -> rusqlite::Result<()> {
    if noted.is_empty() {
        return Ok(());
    }
    let run_id = run::id(connection, moment.run)?;
    let mut insert = connection.prepare_cached(INSERT)?;
    for Noted { id, event, boot_ms, count } in noted {
        let Event { level, topic, app, service, message, wall_ms } = event;
        let (kind, topic) = (level.word(), topic.word());
        insert.execute(params![id, run_id, wall_ms, (*boot_ms).max(0), kind, app, service, message, count, topic])?;
    }
    // Without a clock nothing is known to be old.
    let oldest_ms = moment.wall_ms.map(|now| now.saturating_sub(retention_ms));
    let pruned = connection.prepare_cached(PRUNE)?.execute(params![MOST_ROWS, oldest_ms])?;
    if pruned > 0 { run::forget_others(connection, run_id) } else { Ok(()) }
}

/// Ids of the oldest and the newest event that are kept.
pub(in crate::store) fn bounds(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let both = connection.query_row("SELECT min(id), max(id) FROM event", [], |row| Ok((row.get(0)?, row.get(1)?)));
    both.map(|(oldest, newest): (Option<i64>, Option<i64>)| oldest.zip(newest))
}

/// Events between two ids, those ids excluded, oldest first: the first ones, or the `newest`.
pub(in crate::store) fn read(
    connection: &Connection,
    (after, before): (i64, i64),
    most: usize,
    newest: bool,
) -> rusqlite::Result<Vec<StoredEvent>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(if newest { NEWEST } else { AFTER })?;
    let mut events = select.query_map(params![after, before, most], stored)?.collect::<rusqlite::Result<Vec<_>>>()?;
    if newest {
        events.reverse();
    }
    Ok(events)
}

fn stored(row: &Row) -> rusqlite::Result<StoredEvent> {
    let (level, topic): (String, String) = (row.get(1)?, row.get(2)?);
    let event = Event {
        level: Level::of_word(&level).unwrap_or_default(),
        topic: Topic::of_word(&topic),
        app: row.get(3)?,
        service: row.get(4)?,
        message: row.get(5)?,
        wall_ms: row.get(6)?,
    };
    Ok(StoredEvent { id: row.get(0)?, event, count: row.get(7)? })
}
