//! Rows and their statements, one file per group of tables.
//!
//! Every statement leaves a row that has the wanted values already alone: an upsert carries `WHERE … IS NOT excluded…`,
//! and there is no `INSERT OR REPLACE`, which would delete and write the row again.

mod api_key;
mod decision;
pub(super) mod event;
mod image;
mod release;
mod run;
pub(super) mod snapshot;
mod target;
mod value;

use holdfast_plan::memory::Remember;
use rusqlite::{Connection, Row};

use super::change::{Change, Loaded};

pub(super) use run::{Moment, Run};

/// Reads everything; of targets the one of this source and uuid. A row that makes no sense is passed over and logged.
pub(super) fn load(connection: &Connection, source: &str, uuid: &str) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    target::load(connection, source, uuid, &mut loaded)?;
    release::load(connection, &mut loaded.memory)?;
    decision::load(connection, &mut loaded.memory)?;
    image::load(connection, &mut loaded.memory)?;
    loaded.api_keys = api_key::load(connection)?;
    loaded.values = value::load(connection)?;
    decision::take_values(&mut loaded.values, &mut loaded.memory);
    // Those are read as decisions.
    loaded.values.retain(|name, _| !name.starts_with(decision::HELD));
    Ok(loaded)
}

/// Writes one change. A target that was not in force before is kept as a snapshot too.
pub(super) fn write(connection: &Connection, change: &Change, moment: &Moment<'_>) -> rusqlite::Result<()> {
    match change {
        Change::Target(target) => match target::write(connection, target)? {
            0 => Ok(()),
            _ => snapshot::write_target(connection, target, moment),
        },
        Change::DropTarget { source } => target::forget(connection, source),
        Change::Remember(Remember::Image(record)) => image::write(connection, record),
        Change::Remember(Remember::ForgetImage { image }) => image::forget(connection, image),
        Change::Remember(remember) if release::write(connection, remember)? => Ok(()),
        Change::Remember(remember) => decision::write(connection, remember),
        Change::ApiKey { owner, key } => api_key::write(connection, owner, key),
        Change::DropKey { owner } => api_key::forget(connection, owner),
        Change::KeyScopes { owner, scopes } => api_key::write_scopes(connection, owner, scopes),
        Change::Snapshot { state } => snapshot::write_current(connection, state, moment),
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
