//! Table `api_key`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::super::change::{KeyOwner, StoredKey, usual_scopes};
use super::{signed, unsigned};

const UPSERT: &str = "INSERT INTO api_key (app_id, service, key, scopes) VALUES (?1, ?2, ?3, ?4)
  ON CONFLICT (ifnull(app_id, -1), ifnull(service, '')) DO UPDATE SET key = excluded.key WHERE key IS NOT excluded.key";

const SCOPES: &str = "UPDATE api_key SET scopes = ?3
  WHERE ifnull(app_id, -1) = ifnull(?1, -1) AND ifnull(service, '') = ifnull(?2, '') AND scopes IS NOT ?3";

const DELETE: &str = "DELETE FROM api_key WHERE ifnull(app_id, -1) = ifnull(?1, -1) AND ifnull(service, '') = ifnull(?2, '')";

pub(super) fn load(connection: &Connection) -> rusqlite::Result<BTreeMap<KeyOwner, StoredKey>> {
    let mut select = connection.prepare_cached("SELECT app_id, service, key, scopes FROM api_key")?;
    let rows = select.query_map([], |row| {
        let owner: KeyOwner = match row.get::<_, Option<String>>(1)? {
            Some(service) => Some((unsigned(row, 0)?, service)),
            None => None,
        };
        Ok((owner, StoredKey { key: row.get(2)?, scopes: row.get(3)? }))
    })?;
    rows.collect()
}

pub(super) fn write(connection: &Connection, owner: &KeyOwner, key: &str) -> rusqlite::Result<()> {
    let (app, service) = columns(owner)?;
    connection.prepare_cached(UPSERT)?.execute(params![app, service, key, usual_scopes(owner)]).map(drop)
}

pub(super) fn forget(connection: &Connection, owner: &KeyOwner) -> rusqlite::Result<()> {
    connection.prepare_cached(DELETE)?.execute(columns(owner)?).map(drop)
}

pub(super) fn write_scopes(connection: &Connection, owner: &KeyOwner, scopes: &str) -> rusqlite::Result<()> {
    let (app, service) = columns(owner)?;
    connection.prepare_cached(SCOPES)?.execute(params![app, service, scopes]).map(drop)
}

fn columns(owner: &KeyOwner) -> rusqlite::Result<(Option<i64>, Option<&str>)> {
    Ok(match owner {
        Some((app, service)) => (Some(signed(*app)?), Some(service)),
        None => (None, None),
    })
}
