//! The schema version found, and the way to the agent's own.

use std::collections::BTreeMap;

use holdfast_plan::policy::Now;
use rusqlite::{Connection, ErrorCode};

use super::super::backup;
use super::super::error::StoreError;
use super::super::figures;
use super::super::migrations::{
    MigrationError, has_schema_of, migrate, migrations, recorded_version, revert, steps_above, version,
};
use super::super::outcome::{Outcome, Recovery};
use super::super::place::Place;
use super::trouble::Trouble;

/// What the schema version means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This agent's, or an older one.
    Known(u32),
    /// A newer agent's, every step recorded.
    Newer(u32),
    /// The header states a version that is not so: tables and records are, word for word, those of this one.
    Misstated(u32),
}

/// Looks at the version. What can be told without a guess comes back; what cannot is trouble.
pub(super) fn look(connection: &Connection) -> rusqlite::Result<Result<Found, Trouble>> {
    let known = migrations().len() as u32;
    let (stated, recorded) = (version(connection)?, recorded_version(connection)?);
    Ok(if stated == recorded {
        if stated <= known { Ok(Found::Known(stated)) } else { newer(connection, stated)? }
    } else if recorded <= known && has_schema_of(connection, &migrations()[..recorded as usize]) {
        Ok(Found::Misstated(recorded))
    } else if stated > known {
        Err(Trouble::Ahead { found: stated, why: format!("its records end with version {recorded}") })
    } else {
        Err(Trouble::Damaged(format!("its header states schema version {stated}, its records say {recorded}")))
    })
}

fn newer(connection: &Connection, stated: u32) -> rusqlite::Result<Result<Found, Trouble>> {
    let known = migrations().len() as u32;
    let steps = steps_above(connection, known)?;
    let whole = steps.iter().map(|(version, _)| *version).eq(known + 1..=stated);
    let missing = || Trouble::Ahead { found: stated, why: "not every step has its way back in the database".to_owned() };
    Ok(if whole { Ok(Found::Newer(stated)) } else { Err(missing()) })
}

/// Brings the schema to this agent's version, after a verified copy; what that meant for a newer agent's comes back.
pub(super) fn bring(connection: &mut Connection, place: &Place, found: Found, now: Now) -> Result<Option<Recovery>, Trouble> {
    let path = &place.database;
    match found {
        Found::Known(version) if version == migrations().len() as u32 => Ok(None),
        Found::Known(version) => up(connection, place, version, now).map(|()| None),
        Found::Newer(version) => down(connection, place, version, now).map(Some),
        Found::Misstated(version) => {
            let put_right = connection.pragma_update(None, "user_version", version);
            put_right.map_err(|error| Trouble::of(path, &error))?;
            up(connection, place, version, now)?;
            let message = format!(
                "the header of {} stated a schema version it does not have; its tables and records are those of version {version}, so \
                 the header was put right and nothing was lost",
                path.display()
            );
            Ok(Some(Recovery { outcome: Outcome::Reverted, message }))
        }
    }
}

/// Applies what is missing. When a step fails, those before it are taken back: the agent of before can go on.
fn up(connection: &mut Connection, place: &Place, from: u32, now: Now) -> Result<(), Trouble> {
    if from > 0 && from < migrations().len() as u32 {
        let (copy, _) = backup::make(connection, place, true, now).map_err(|error| no_copy(place, &error))?;
        log::info!(
            "{}: schema version {from} becomes {}; a verified copy is {}",
            place.database.display(),
            migrations().len(),
            copy.path
        );
    }
    let Err(error) = migrate(connection, migrations(), now.wall_ms) else { return Ok(()) };
    if let Err(error) = revert(connection, from) {
        log::error!("{}: {error} while going back to schema version {from}", place.database.display());
    }
    match failure(&error) {
        // Tables without records of how they came to be.
        Some(cause) if from == 0 && is_statement_error(cause) => Err(Trouble::Damaged(error.to_string())),
        _ => Err(Trouble::of_migration(&place.database, &error)),
    }
}

/// What SQLite answered to a step.
fn failure(error: &MigrationError) -> Option<&rusqlite::Error> {
    match error {
        MigrationError::Step { cause, .. } | MigrationError::Sqlite(cause) => Some(cause),
        MigrationError::Newer { .. } | MigrationError::NoWayBack { .. } => None,
    }
}

/// The statement itself is at fault, not the storage.
fn is_statement_error(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation))
}

fn down(connection: &mut Connection, place: &Place, from: u32, now: Now) -> Result<Recovery, Trouble> {
    let known = migrations().len() as u32;
    let path = &place.database;
    let failed = |error: rusqlite::Error| Trouble::of(path, &error);
    let (copy, _) = backup::make(connection, place, true, now).map_err(|error| no_copy(place, &error))?;
    let steps = steps_above(connection, known).map_err(failed)?;
    let before = figures::rows(connection).map_err(failed)?;
    let ahead = |why: String| Trouble::Ahead { found: from, why };
    revert(connection, known).map_err(|error| match failure(&error) {
        // A full disk, for example: the same script may do later.
        Some(cause) if !is_statement_error(cause) => Trouble::of(path, cause),
        _ => ahead(error.to_string()),
    })?;
    let after = figures::rows(connection).map_err(failed)?;
    let steps: Vec<String> = steps.into_iter().map(|(version, name)| format!("{version} ({name})")).collect();
    let message = format!(
        "the database {} was a newer agent's, of schema version {from}; this agent knows {known} and took back {} with the scripts stored \
         in it: {}. A verified copy of it as it was is {}",
        path.display(),
        steps.join(", "),
        lost(&before, &after),
        copy.path
    );
    Ok(Recovery { outcome: Outcome::Reverted, message })
}

/// What an older schema has no place for.
fn lost(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> String {
    let mut lost = Vec::new();
    for (table, rows) in before.iter().filter(|(table, _)| *table != "migration") {
        match after.get(table) {
            None => lost.push(format!("table {table} ({rows} rows)")),
            Some(left) if left < rows => lost.push(format!("{} rows of table {table}", rows - left)),
            Some(_) => {}
        }
    }
    if lost.is_empty() { "no rows were lost".to_owned() } else { format!("lost with it: {}", lost.join(", ")) }
}

fn no_copy(place: &Place, error: &StoreError) -> StoreError {
    StoreError::failed(&place.database, format!("its schema is left as it is, because no verified copy could be made: {error}"))
}
