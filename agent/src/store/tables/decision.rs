//! Tables `settled_release`, `departed_app` and `stopped_service`: what decisions remember, images apart.

use holdfast_plan::memory::{Memory, Remember, Settled};
use rusqlite::{Connection, params};

use super::{signed, unsigned};

const SETTLE: &str = "INSERT INTO settled_release (app_uuid, app_id, release_commit) VALUES (?1, ?2, ?3)
  ON CONFLICT (app_uuid) DO UPDATE SET app_id = excluded.app_id, release_commit = excluded.release_commit
  WHERE app_id IS NOT excluded.app_id OR release_commit IS NOT excluded.release_commit";
const UNSETTLE: &str = "DELETE FROM settled_release WHERE app_uuid = ?1";
// The first departure counts: the grace period does not start again.
const DEPART: &str = "INSERT INTO departed_app (app_id, departed_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const RETURN: &str = "DELETE FROM departed_app WHERE app_id = ?1";
const STOP: &str = "INSERT INTO stopped_service (app_id, service) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const UNSTOP: &str = "DELETE FROM stopped_service WHERE app_id = ?1 AND service = ?2";

pub(super) fn load(connection: &Connection, memory: &mut Memory) -> rusqlite::Result<()> {
    let mut settled = connection.prepare_cached("SELECT app_uuid, app_id, release_commit FROM settled_release")?;
    let rows = settled.query_map([], |row| Ok((row.get(0)?, Settled { app_id: unsigned(row, 1)?, commit: row.get(2)? })))?;
    memory.settled = rows.collect::<Result<_, _>>()?;
    let mut departed = connection.prepare_cached("SELECT app_id, departed_ms FROM departed_app")?;
    let rows = departed.query_map([], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
    memory.departed = rows.collect::<Result<_, _>>()?;
    let mut stopped = connection.prepare_cached("SELECT app_id, service FROM stopped_service")?;
    let rows = stopped.query_map([], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
    memory.stops = rows.collect::<Result<_, _>>()?;
    Ok(())
}

pub(super) fn write(connection: &Connection, remember: &Remember) -> rusqlite::Result<()> {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(values).map(|_| ());
    match remember {
        Remember::Settle { app_uuid, settled } => execute(SETTLE, params![app_uuid, signed(settled.app_id)?, settled.commit]),
        Remember::Unsettle { app_uuid } => execute(UNSETTLE, params![app_uuid]),
        Remember::Depart { app_id, at_ms } => execute(DEPART, params![signed(*app_id)?, at_ms]),
        Remember::ForgetDeparture { app_id } => execute(RETURN, params![signed(*app_id)?]),
        Remember::Stop { app_id, service, stopped } => {
            execute(if *stopped { STOP } else { UNSTOP }, params![signed(*app_id)?, service])
        }
        // Rows of another table group.
        Remember::Image(record) => super::image::write(connection, record),
        Remember::ForgetImage { image } => super::image::forget(connection, image),
    }
}
