//! Table `value`.

use std::collections::BTreeMap;

use rusqlite::Connection;

const UPSERT: &str = "INSERT INTO value (name, value) VALUES (?1, ?2)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value";

pub(super) fn load(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut select = connection.prepare_cached("SELECT name, value FROM value")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(super) fn write(connection: &Connection, name: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => connection.prepare_cached(UPSERT)?.execute([name, value]).map(|_| ()),
        None => connection.prepare_cached("DELETE FROM value WHERE name = ?1")?.execute([name]).map(|_| ()),
    }
}
