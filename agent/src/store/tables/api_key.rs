//! Table `api_key`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::super::change::KeyOwner;
use super::{signed, unsigned};

const UPSERT: &str = "INSERT INTO api_key (app_id, service, key) VALUES (?1, ?2, ?3)
  ON CONFLICT (ifnull(app_id, -1), ifnull(service, '')) DO UPDATE SET key = excluded.key WHERE key IS NOT excluded.key";

pub(super) fn load(connection: &Connection) -> rusqlite::Result<BTreeMap<KeyOwner, String>> {
    let mut select = connection.prepare_cached("SELECT app_id, service, key FROM api_key")?;
    let rows = select.query_map([], |row| {
        let owner: KeyOwner = match row.get::<_, Option<String>>(1)? {
            Some(service) => Some((unsigned(row, 0)?, service)),
            None => None,
        };
        Ok((owner, row.get(2)?))
    })?;
    rows.collect()
}

pub(super) fn write(connection: &Connection, owner: &KeyOwner, key: &str) -> rusqlite::Result<()> {
    let (app, service) = match owner {
        Some((app, service)) => (Some(signed(*app)?), Some(service)),
        None => (None, None),
    };
    connection.prepare_cached(UPSERT)?.execute(params![app, service, key]).map(|_| ())
}
