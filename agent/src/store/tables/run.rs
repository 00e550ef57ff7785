//! Table `agent_run`: which start of the agent a snapshot or an event belongs to.

use rusqlite::{Connection, params};

const INSERT: &str = "INSERT INTO agent_run (boot_id, started_boot_ms, agent_version) VALUES (?1, ?2, ?3)
  ON CONFLICT (boot_id, started_boot_ms) DO NOTHING";
const SELECT: &str = "SELECT id FROM agent_run WHERE boot_id = ?1 AND started_boot_ms = ?2";
const FORGET: &str = "DELETE FROM agent_run WHERE id <> ?1
  AND id NOT IN (SELECT run_id FROM snapshot) AND id NOT IN (SELECT run_id FROM event)";

/// One start of the agent.
#[derive(Clone, Debug)]
pub(in crate::store) struct Run {
    pub boot_id: String,
    pub started_boot_ms: i64,
    pub agent_version: &'static str,
}

/// When and by which run something is recorded.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Moment<'a> {
    pub run: &'a Run,
    /// Ms since 1970, if the clock is trusted.
    pub wall_ms: Option<i64>,
    pub boot_ms: i64,
}

/// The run's id; its row is written when it is the first time.
pub(super) fn id(connection: &Connection, run: &Run) -> rusqlite::Result<i64> {
    let row = params![run.boot_id, run.started_boot_ms, run.agent_version];
    connection.prepare_cached(INSERT)?.execute(row)?;
    connection.prepare_cached(SELECT)?.query_row(params![run.boot_id, run.started_boot_ms], |row| row.get(0))
}

/// Forgets runs of which nothing is left, except this one.
pub(super) fn forget_others(connection: &Connection, run_id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(FORGET)?.execute([run_id]).map(drop)
}
