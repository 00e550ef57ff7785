//! Table `snapshot`: past states, newest first, bounded in number and bytes.

use std::collections::BTreeMap;

use rusqlite::{Connection, named_params, params};
use serde::{Deserialize, Serialize};

use super::super::change::StoredTarget;
use super::super::interface::{Snapshot, SnapshotKind};
use super::run::{self, Moment};

/// Snapshots of each kind that are kept.
const MOST_ROWS: u32 = 50;
/// Bytes of each kind that are kept; the newest always is.
const MOST_BYTES: u32 = 512 * 1024;
/// Bytes of a target that is kept whole.
const MOST_BYTES_OF_ONE: usize = 64 * 1024;

const SELECT: &str = "SELECT id, kind, taken_ms, source, shortened, state FROM snapshot ORDER BY id DESC";

// Nothing when the newest of this kind is the same.
const INSERT: &str = "INSERT INTO snapshot (run_id, kind, taken_ms, boot_ms, source, shortened, state)
  VALUES (:run_id, :kind, :taken_ms, :boot_ms, :source, :shortened, :state)";
const IS_NEWEST: &str = "SELECT EXISTS (SELECT 1 FROM snapshot
  WHERE id = (SELECT max(id) FROM snapshot WHERE kind = ?1) AND source IS ?2 AND state = ?3)";

const PRUNE: &str = "DELETE FROM snapshot WHERE id IN (SELECT id FROM (
    SELECT id, row_number() OVER newest AS place, sum(octet_length(state)) OVER newest AS bytes
    FROM snapshot WHERE kind = ?1 WINDOW newest AS (ORDER BY id DESC)
  ) WHERE place > 1 AND (place > ?2 OR bytes > ?3))";

/// Every snapshot, newest first.
pub(in crate::store) fn all(connection: &Connection) -> rusqlite::Result<Vec<Snapshot>> {
    let mut select = connection.prepare(SELECT)?;
    let rows = select.query_map([], |row| {
        let kind: String = row.get(1)?;
        Ok(Snapshot {
            id: row.get(0)?,
            kind: if kind == word(SnapshotKind::Target) { SnapshotKind::Target } else { SnapshotKind::Current },
            taken_ms: row.get(2)?,
            source: row.get(3)?,
            shortened: row.get(4)?,
            state: row.get(5)?,
        })
    })?;
    rows.collect()
}

/// Keeps a target that has just taken force.
pub(super) fn write_target(connection: &Connection, target: &StoredTarget, moment: &Moment<'_>) -> rusqlite::Result<()> {
    let short = (target.body.len() > MOST_BYTES_OF_ONE).then(|| shortened(&target.body));
    let state = short.as_deref().unwrap_or(&target.body);
    write(connection, SnapshotKind::Target, Some(&target.source), short.is_some(), state, moment)
}

/// Keeps what was there when the device settled.
pub(super) fn write_current(connection: &Connection, state: &str, moment: &Moment<'_>) -> rusqlite::Result<()> {
    write(connection, SnapshotKind::Current, None, false, state, moment)
}

fn write(
    connection: &Connection,
    kind: SnapshotKind,
    source: Option<&str>,
    shortened: bool,
    state: &str,
    moment: &Moment<'_>,
) -> rusqlite::Result<()> {
    let mut is_newest = connection.prepare_cached(IS_NEWEST)?;
    if is_newest.query_row(params![word(kind), source, state], |row| row.get(0))? {
        return Ok(());
    }
    let run_id = run::id(connection, moment.run)?;
    let row = named_params! {
        ":run_id": run_id, ":kind": word(kind), ":taken_ms": moment.wall_ms, ":boot_ms": moment.boot_ms.max(0),
        ":source": source, ":shortened": shortened, ":state": state,
    };
    connection.prepare_cached(INSERT)?.execute(row)?;
    let pruned = connection.prepare_cached(PRUNE)?.execute(params![word(kind), MOST_ROWS, MOST_BYTES])?;
    if pruned > 0 { run::forget_others(connection, run_id) } else { Ok(()) }
}

fn word(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Target => "target",
        SnapshotKind::Current => "current",
    }
}

/// What is kept of a long target: which app was to run which images.
type Short = BTreeMap<String, ShortDevice>;

#[derive(Serialize, Deserialize)]
struct ShortDevice {
    apps: BTreeMap<String, ShortApp>,
}

#[derive(Serialize, Deserialize)]
struct ShortApp {
    id: u64,
    name: String,
    releases: BTreeMap<String, ShortRelease>,
}

#[derive(Serialize, Deserialize)]
struct ShortRelease {
    services: BTreeMap<String, ShortService>,
}

#[derive(Serialize, Deserialize)]
struct ShortService {
    image: String,
}

/// Of a document that is not worded as usual, or is long even so, only its length is kept.
fn shortened(body: &str) -> String {
    let short = serde_json::from_str::<Short>(body).and_then(|short| serde_json::to_string(&short));
    match short {
        Ok(short) if short.len() <= MOST_BYTES_OF_ONE => short,
        _ => format!("{{\"bytes\":{}}}", body.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_target_releases_and_images_are_left() {
        let service =
            |name: &str, variable: &str| format!(r#""{name}":{{"id":1,"image":"i","environment":{{"A":"{variable}"}}}}"#);
        let body = format!(
            r#"{{"u":{{"name":"d","config":{{}},"apps":{{"a":{{"id":5,"name":"n","releases":{{"c":{{"id":1,"services":{{{}}}}}}}}}}}}}}}"#,
            service("main", &"x".repeat(100_000))
        );
        assert_eq!(
            shortened(&body),
            r#"{"u":{"apps":{"a":{"id":5,"name":"n","releases":{"c":{"services":{"main":{"image":"i"}}}}}}}}"#
        );
        assert_eq!(shortened("[1,2]"), r#"{"bytes":5}"#);
    }
}
