//! Tables `departed_app` and `stopped_service`, and rows of `value`: what decisions remember besides releases and images.

use std::collections::BTreeMap;

use holdfast_plan::memory::{Memory, Remember};
use rusqlite::{Connection, params};

use super::{signed, unsigned, value};

/// Names of values: boot configuration keys that are the agent's, and the restart asked for last.
const BOOT_KEYS: &str = "boot_keys";
const REBOOT: &str = "reboot";

// The first departure counts: the grace period does not start again.
const DEPART: &str = "INSERT INTO departed_app (app_id, departed_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const RETURN: &str = "DELETE FROM departed_app WHERE app_id = ?1";
const STOP: &str = "INSERT INTO stopped_service (app_id, service) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const UNSTOP: &str = "DELETE FROM stopped_service WHERE app_id = ?1 AND service = ?2";

/// Names of the values that stand for containers stopped for a copy of a volume begin so; the engine id follows.
pub(super) const HELD: &str = "held container ";
const HOLD: &str = "INSERT INTO value (name, value) VALUES (?1, '') ON CONFLICT DO NOTHING";
const LET_GO: &str = "DELETE FROM value WHERE name = ?1";

/// Names of the values that stand for orders on apps begin so; the app's id follows.
const ORDER: &str = "order on app ";

pub(super) fn load(connection: &Connection, memory: &mut Memory) -> rusqlite::Result<()> {
    let mut departed = connection.prepare_cached("SELECT app_id, departed_ms FROM departed_app")?;
    let rows = departed.query_map([], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
    memory.departed = rows.collect::<Result<_, _>>()?;
    let mut stopped = connection.prepare_cached("SELECT app_id, service FROM stopped_service")?;
    let rows = stopped.query_map([], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
    memory.stops = rows.collect::<Result<_, _>>()?;
    let mut held = connection.prepare_cached("SELECT name FROM value WHERE name GLOB ?1 || '?*'")?;
    let rows = held.query_map([HELD], |row| row.get::<_, String>(0))?;
    memory.held = rows.map(|name| name.map(|name| name[HELD.len()..].to_owned())).collect::<Result<_, _>>()?;
    Ok(())
}

/// What is one value with a name. One that makes no sense is none.
pub(super) fn take_values(values: &mut BTreeMap<String, String>, memory: &mut Memory) {
    let mut take = |name: &str| values.remove(name);
    memory.boot_keys = take(BOOT_KEYS).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    memory.reboot = take(REBOOT).and_then(|text| serde_json::from_str(&text).ok());
    values.retain(|name, text| {
        let Some(app) = name.strip_prefix(ORDER) else { return true };
        if let (Ok(app), Ok(order)) = (app.parse(), serde_json::from_str(text)) {
            memory.orders.insert(app, order);
        }
        false
    });
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn write(connection: &Connection, remember: &Remember) -> rusqlite::Result<()> {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(values).map(|_| ());
    match remember {
        Remember::Depart { app_id, at_ms } => execute(DEPART, params![signed(*app_id)?, at_ms]),
        Remember::ForgetDeparture { app_id } => execute(RETURN, params![signed(*app_id)?]),
        Remember::Stop { app_id, service, stopped } => {
            execute(if *stopped { STOP } else { UNSTOP }, params![signed(*app_id)?, service])
        }
        Remember::BootKeys { own } => {
            value::write(connection, BOOT_KEYS, Some(&json(own)?).filter(|_| !own.is_empty()).map(String::as_str))
        }
        Remember::Reboot { record } => value::write(connection, REBOOT, Some(&json(record)?)),
        Remember::Order { app_id, order } => {
            let order = order.as_ref().filter(|order| order.is_stored()).map(|order| json(order)).transpose()?;
            value::write(connection, &format!("{ORDER}{app_id}"), order.as_deref())
        }
        Remember::Held { container, held } => execute(if *held { HOLD } else { LET_GO }, params![format!("{HELD}{container}")]),
        // Rows of other table groups.
        _ => Ok(()),
    }
}
