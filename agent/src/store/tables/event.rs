//! Table `event`.

use rusqlite::{Connection, params};

use super::super::journal::Noted;
use super::run::{self, Moment};

/// Events that are kept.
const MOST_ROWS: i64 = 2000;

const INSERT: &str = "INSERT INTO event (run_id, at_ms, boot_ms, kind, app, service, text, count)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
// The newest stays, so that its id is not given again.
const PRUNE: &str = "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?1
  OR (at_ms < ?2 AND id < (SELECT max(id) FROM event))";

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
    for Noted { kind, app, service, text, at_ms, boot_ms, count } in noted {
        insert.execute(params![run_id, at_ms, (*boot_ms).max(0), kind, app, service, text, count])?;
    }
    // Without a clock nothing is known to be old.
    let oldest_ms = moment.wall_ms.map(|now| now.saturating_sub(retention_ms));
    let pruned = connection.prepare_cached(PRUNE)?.execute(params![MOST_ROWS, oldest_ms])?;
    if pruned > 0 { run::forget_others(connection, run_id) } else { Ok(()) }
}
