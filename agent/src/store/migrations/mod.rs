//! Schema versions: `user_version` counts the steps, and every step leaves its way back in the table `migration`.
//!
//! An older agent does not carry the down script of a step it does not know; so each applied step stores its own in the
//! database, where [`revert`] finds it. A step and its bookkeeping are one transaction.

#[cfg(feature = "sandbox")]
mod next;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version the schema has after it; steps count from 1 without gaps.
    pub version: u32,
    /// What it brings.
    pub name: &'static str,
    /// SQL that applies it.
    pub up: &'static str,
    /// SQL that takes it back.
    pub down: &'static str,
}

#[cfg(feature = "sandbox")]
pub use next::{know_next, migrations};

/// The steps this agent knows, in order.
#[cfg(not(feature = "sandbox"))]
pub fn migrations() -> &'static [Migration] {
    STEPS
}

const STEPS: &[Migration] = &[
    Migration {
        version: 1,
        name: "foundation",
        up: include_str!("001-foundation/up.sql"),
        down: include_str!("001-foundation/down.sql"),
    },
    Migration { version: 2, name: "history", up: include_str!("002-history/up.sql"), down: include_str!("002-history/down.sql") },
    Migration {
        version: 3,
        name: "event-topic",
        up: include_str!("003-event-topic/up.sql"),
        down: include_str!("003-event-topic/down.sql"),
    },
    Migration {
        version: 4,
        name: "target-in-force",
        up: include_str!("004-target-in-force/up.sql"),
        down: include_str!("004-target-in-force/down.sql"),
    },
];

/// Stands in every database whose schema this agent made, whatever its header says.
pub(super) const BOOKKEEPING_MARK: &str = "-- takes the step back; for agents that do not know it";

const BOOKKEEPING: &str = "CREATE TABLE IF NOT EXISTS migration (
  version    INTEGER NOT NULL PRIMARY KEY CHECK (version > 0),
  name       TEXT NOT NULL,
  down_sql   TEXT NOT NULL, -- takes the step back; for agents that do not know it
  applied_ms INTEGER        -- since 1970; NULL when the clock was not set
) STRICT";

/// Why a schema could not be brought to a version. The database is as it was before the failing step.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer agent wrote this database.
    #[error("the database has schema version {found}, this agent knows {known}")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// A step has no stored way back.
    #[error("schema version {version} has no down script in the database")]
    NoWayBack {
        /// The version to be left.
        version: u32,
    },
    /// A step failed.
    #[error("schema step {version}: {cause}")]
    Step {
        /// The version that was to be reached or left.
        version: u32,
        /// SQLite's error.
        cause: rusqlite::Error,
    },
    /// The version could not be read.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// The schema version of a database; 0 is an empty one.
pub fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The schema version by the database's own records of its steps; 0 when there are none. It is the same as [`version`]
/// unless the file was damaged or written by something else.
pub fn recorded_version(connection: &Connection) -> rusqlite::Result<u32> {
    let kept = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration')";
    if !connection.query_row(kept, [], |row| row.get(0))? {
        return Ok(0);
    }
    connection.query_row("SELECT ifnull(max(version), 0) FROM migration", [], |row| row.get(0))
}

/// Whether the schema is, word for word, the one that the first `steps` make.
pub(super) fn has_schema_of(connection: &Connection, steps: &[Migration]) -> bool {
    let whole = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name";
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let expected = || {
        let mut model = Connection::open_in_memory().ok()?;
        migrate(&mut model, steps, None).ok()?;
        whole(&model).ok()
    };
    whole(connection).ok().is_some_and(|found| Some(found) == expected())
}

/// The recorded steps above a version, oldest first, with their names.
pub(super) fn steps_above(connection: &Connection, version: u32) -> rusqlite::Result<Vec<(u32, String)>> {
    let mut select = connection.prepare("SELECT version, name FROM migration WHERE version > ?1 ORDER BY version")?;
    select.query_map([version], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Applies the steps that are missing and returns the version reached. `now_ms` is the wall clock, if it is trusted.
///
/// # Errors
/// [`MigrationError::Newer`] touches nothing.
pub fn migrate(connection: &mut Connection, steps: &[Migration], now_ms: Option<i64>) -> Result<u32, MigrationError> {
    let found = version(connection)?;
    let known = steps.last().map_or(0, |step| step.version);
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    for step in steps.iter().filter(|step| step.version > found) {
        apply(connection, step, now_ms).map_err(|cause| MigrationError::Step { version: step.version, cause })?;
    }
    Ok(known)
}

fn apply(connection: &mut Connection, step: &Migration, now_ms: Option<i64>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(BOOKKEEPING)?;
    #[cfg(not(feature = "sandbox"))]
    transaction.execute_batch(step.up)?;
    #[cfg(feature = "sandbox")]
    transaction.execute_batch(next::up(step))?;
    transaction.execute(
        "INSERT INTO migration (version, name, down_sql, applied_ms) VALUES (?1, ?2, ?3, ?4)",
        params![step.version, step.name, step.down, now_ms],
    )?;
    transaction.pragma_update(None, "user_version", step.version)?;
    transaction.commit()
}

/// Takes steps back with the down scripts stored in the database, newest first, until `target` is reached: all of them or
/// none. What a step kept and an older schema has no place for is lost: make a verified copy before.
///
/// # Errors
/// When a step has no stored script or its script fails; the database is then as it was.
pub fn revert(connection: &mut Connection, target: u32) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    loop {
        let version = version(&transaction)?;
        if version <= target {
            return transaction.commit().map_err(|cause| MigrationError::Step { version, cause });
        }
        take_back(&transaction, version)?;
    }
}

fn take_back(transaction: &Transaction, version: u32) -> Result<(), MigrationError> {
    let script = "SELECT down_sql FROM migration WHERE version = ?1";
    let down: String = transaction.query_row(script, [version], |row| row.get(0)).map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => MigrationError::NoWayBack { version },
        cause => MigrationError::Step { version, cause },
    })?;
    let run = || {
        transaction.execute_batch(&down)?;
        transaction.execute("DELETE FROM migration WHERE version = ?1", [version])?;
        transaction.pragma_update(None, "user_version", version - 1)
    };
    run().map_err(|cause| MigrationError::Step { version, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let sql = "SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema
                   WHERE tbl_name <> 'migration' ORDER BY name";
        connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_step_goes_up_and_down_and_up_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        let mut schemas = vec![schema(&connection)];
        for end in 1..=migrations().len() {
            migrate(&mut connection, &migrations()[..end], Some(5)).unwrap();
            schemas.push(schema(&connection));
        }
        for target in (0..migrations().len()).rev() {
            revert(&mut connection, target as u32).unwrap();
            assert_eq!(schema(&connection), schemas[target], "after going back to {target}");
            assert_eq!(version(&connection).unwrap(), target as u32);
        }
        assert_eq!(migrate(&mut connection, migrations(), None).unwrap(), migrations().len() as u32);
        assert_eq!(&schema(&connection), schemas.last().unwrap());
        assert_eq!(migrate(&mut connection, migrations(), None).unwrap(), migrations().len() as u32, "nothing left to do");
    }

    #[test]
    fn versions_count_without_gaps() {
        let versions: Vec<u32> = migrations().iter().map(|step| step.version).collect();
        assert_eq!(versions, (1..=migrations().len() as u32).collect::<Vec<_>>());
    }

    /// What an older agent does with a newer agent's database.
    #[test]
    fn an_agent_goes_back_over_steps_it_does_not_know() {
        let next = Migration {
            version: migrations().len() as u32 + 1,
            name: "next",
            up: "CREATE TABLE next (x INTEGER) STRICT",
            down: "DROP TABLE next",
        };
        let newer: Vec<Migration> = migrations().iter().copied().chain([next]).collect();
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, migrations(), None).unwrap();
        connection.execute("INSERT INTO value VALUES ('name', 'kept')", []).unwrap();
        let before = schema(&connection);
        migrate(&mut connection, &newer, None).unwrap();

        let refused = migrate(&mut connection, migrations(), None).unwrap_err();
        assert!(matches!(refused, MigrationError::Newer { found, known } if found == known + 1), "{refused}");
        revert(&mut connection, migrations().len() as u32).unwrap();
        assert_eq!(schema(&connection), before);
        let kept: String = connection.query_row("SELECT value FROM value", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn a_failing_step_leaves_everything_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, migrations(), None).unwrap();
        let before = schema(&connection);
        let version_now = migrations().len() as u32;
        let up = "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);";
        let broken = Migration { version: version_now + 1, name: "broken", up, down: "" };
        let steps: Vec<Migration> = migrations().iter().copied().chain([broken]).collect();
        assert!(matches!(migrate(&mut connection, &steps, None), Err(MigrationError::Step { .. })));
        assert_eq!((schema(&connection), version(&connection).unwrap()), (before.clone(), version_now));

        connection.execute("UPDATE migration SET down_sql = 'DROP TABLE value; DROP TABLE nowhere;'", []).unwrap();
        assert!(revert(&mut connection, 0).is_err());
        assert_eq!((schema(&connection), version(&connection).unwrap()), (before, version_now));
        connection.execute("DELETE FROM migration", []).unwrap();
        assert!(matches!(revert(&mut connection, 0), Err(MigrationError::NoWayBack { .. })));
    }
}
