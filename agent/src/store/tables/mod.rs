//! Rows and their statements, one file per group of tables.
//!
//! Every statement leaves a row that has the wanted values already alone: an upsert carries `WHERE … IS NOT excluded…`,
//! and there is no `INSERT OR REPLACE`, which would delete and write the row again.

mod api_key;
mod decision;
mod image;
mod release;
mod target;
mod value;

use holdfast_plan::memory::Remember;
use rusqlite::{Connection, Row};

use super::change::{Change, Loaded};

/// Reads everything; of targets the one of this source and uuid. A row that makes no sense is passed over and logged.
pub(super) fn load(connection: &Connection, source: &str, uuid: &str) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    target::load(connection, source, uuid, &mut loaded)?;
    release::load(connection, &mut loaded.memory)?;
    decision::load(connection, &mut loaded.memory)?;
    image::load(connection, &mut loaded.memory)?;
    loaded.api_keys = api_key::load(connection)?;
    loaded.values = value::load(connection)?;
    // Those are read as decisions.
    loaded.values.retain(|name, _| !name.starts_with(decision::HELD));
    Ok(loaded)
}

/// Writes one change.
pub(super) fn write(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Target(target) => target::write(connection, target),
        Change::Remember(Remember::Image(record)) => image::write(connection, record),
        Change::Remember(Remember::ForgetImage { image }) => image::forget(connection, image),
        Change::Remember(remember) if release::write(connection, remember)? => Ok(()),
        Change::Remember(remember) => decision::write(connection, remember),
        Change::ApiKey { owner, key } => api_key::write(connection, owner, key),
        Change::Value { name, value } => value::write(connection, name, value.as_deref()),
    }
}

/// An unsigned number as SQLite's 64 bits with a sign.
fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The unsigned number in a column.
fn unsigned(row: &Row, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
