//! Tables `settled_release`, `trial` and `rejected_release`: which release an app runs, tries, or will not try again.

use holdfast_plan::memory::{Memory, Rejected, Remember, Settled, Trial};
use rusqlite::{Connection, Params, Row, params};

use super::{signed, unsigned};

const SETTLE: &str =
    "INSERT INTO settled_release (app_uuid, app_id, release_commit, fingerprint, document) VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (app_uuid) DO UPDATE SET app_id = excluded.app_id, release_commit = excluded.release_commit,
    fingerprint = excluded.fingerprint, document = excluded.document
  WHERE app_id IS NOT excluded.app_id OR release_commit IS NOT excluded.release_commit
    OR fingerprint IS NOT excluded.fingerprint OR document IS NOT excluded.document";
const UNSETTLE: &str = "DELETE FROM settled_release WHERE app_uuid = ?1";
const TRY: &str = "INSERT INTO trial (app_uuid, release_commit, starts) VALUES (?1, ?2, ?3)
  ON CONFLICT (app_uuid) DO UPDATE SET release_commit = excluded.release_commit, starts = excluded.starts
  WHERE release_commit IS NOT excluded.release_commit OR starts IS NOT excluded.starts";
const END_TRIAL: &str = "DELETE FROM trial WHERE app_uuid = ?1";
const REJECT: &str = "INSERT INTO rejected_release (app_uuid, release_commit, why) VALUES (?1, ?2, ?3)
  ON CONFLICT (app_uuid) DO UPDATE SET release_commit = excluded.release_commit, why = excluded.why
  WHERE release_commit IS NOT excluded.release_commit OR why IS NOT excluded.why";
const FORGIVE: &str = "DELETE FROM rejected_release WHERE app_uuid = ?1";

pub(super) fn load(connection: &Connection, memory: &mut Memory) -> rusqlite::Result<()> {
    memory.settled =
        all(connection, "SELECT app_uuid, app_id, release_commit, fingerprint, document FROM settled_release", |row| {
            let document: String = row.get(4)?;
            let document = serde_json::from_str(&document).unwrap_or_default();
            Ok((row.get(0)?, Settled { app_id: unsigned(row, 1)?, commit: row.get(2)?, fingerprint: row.get(3)?, document }))
        })?;
    memory.trials = all(connection, "SELECT app_uuid, release_commit, starts FROM trial", |row| {
        Ok((row.get(0)?, Trial { commit: row.get(1)?, starts: row.get(2)?, since_boot_ms: None }))
    })?;
    memory.rejected = all(connection, "SELECT app_uuid, release_commit, why FROM rejected_release", |row| {
        Ok((row.get(0)?, Rejected { commit: row.get(1)?, why: row.get(2)? }))
    })?;
    Ok(())
}

/// Every row of a query, collected.
fn all<T, C: FromIterator<T>>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<C> {
    connection.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// Writes a change of these tables; `false` when it is not about them.
pub(super) fn write(connection: &Connection, remember: &Remember) -> rusqlite::Result<bool> {
    match remember {
        Remember::Settle { app_uuid, settled } => {
            let document = settled.document.to_string();
            let row = params![app_uuid, signed(settled.app_id)?, settled.commit, settled.fingerprint, document];
            execute(connection, SETTLE, row)?;
            execute(connection, END_TRIAL, [app_uuid])?;
        }
        Remember::Unsettle { app_uuid } => {
            for sql in [UNSETTLE, END_TRIAL, FORGIVE] {
                execute(connection, sql, [app_uuid])?;
            }
        }
        Remember::BeginTrial { app_uuid, trial } => execute(connection, TRY, params![app_uuid, trial.commit, trial.starts])?,
        Remember::Reject { app_uuid, rejected } => {
            execute(connection, END_TRIAL, [app_uuid])?;
            execute(connection, REJECT, params![app_uuid, rejected.commit, rejected.why])?;
        }
        Remember::ForgetRejected { app_uuid } => execute(connection, FORGIVE, [app_uuid])?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn execute(connection: &Connection, sql: &str, row: impl Params) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(row).map(drop)
}
