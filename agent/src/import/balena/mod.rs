//! balena-supervisor's database, of any age (behaviour §15).
//!
//! Which columns there are tells the age; nobody relies on the list of migrations. Since M00008 apps have a uuid and their
//! target is taken over. Older rows have none, and a target cannot be made of them: as balena-supervisor itself does there,
//! the agent then leaves the containers alone until the cloud sends one.

mod apps;
mod commits;
mod copy;
mod images;
mod keys;
mod table;
mod values;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use self::apps::Apps;
use self::copy::Copy;
use self::table::Tables;
use super::device::Device;
use super::document;
use super::error::ImportError;
use super::imported::Imported;
use crate::store::{APPLICATION_ID, LOCAL_SOURCE};

/// Folders balena-supervisor keeps its database in, the present one first.
const FOLDERS: [&str; 2] = ["balena-supervisor", "resin-supervisor"];

/// The newest migration these rules were made for.
const NEWEST_KNOWN: &str = "M00013";

/// The database of a balena-supervisor that ran on this device before.
pub(super) fn find(data_dir: &Path) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| data_dir.join(folder).join("database.sqlite")).find(|file| file.is_file())
}

/// Reads a database through a copy: the original is opened for reading only, and by nobody else than the copying.
pub(super) fn read(file: &Path, device: &Device, data_dir: &Path) -> Result<Imported, ImportError> {
    let copy = Copy::of(file, data_dir)?;
    let connection = open(file, &copy.database)?;
    let tables = Tables::new(&connection, file);
    let age = age(file, &connection, &tables)?;
    let mut imported = Imported::default();
    let config = values::Config::read(&tables)?;
    let apps = Apps::read(&tables, device, &config)?;
    add_targets(&mut imported, file, device, &config, &apps, &tables)?;
    commits::add(&mut imported, &tables, &config, &apps)?;
    images::add(&mut imported, &tables, &apps)?;
    keys::add(&mut imported, &tables, &config, &apps)?;
    values::add(&mut imported, &config);
    if age.as_str() > NEWEST_KNOWN && age.starts_with('M') {
        imported.remarks.push(format!("its schema ({age}) is newer than the newest one known here ({NEWEST_KNOWN})"));
    }
    imported.came_from(&format!("{} (balena-supervisor, schema {age})", file.display()));
    Ok(imported)
}

fn open(file: &Path, copy: &Path) -> Result<Connection, ImportError> {
    let broken = |error: rusqlite::Error| damaged(file, &error.to_string());
    // Writable, since a log that was not yet moved into the file has to be; it is only a copy.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags).map_err(broken)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;").map_err(broken)?;
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(broken)?;
    match id {
        0 => {}
        APPLICATION_ID => {
            let next = "a backup of this agent's own is put back with holdfast db restore";
            return Err(ImportError::file(file, "it is a database of holdfast", next));
        }
        other => return Err(foreign(file, &format!("it is another application's database (application_id {other:#010x})"))),
    }
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(broken)?;
    if verdict != "ok" {
        return Err(damaged(file, &verdict));
    }
    Ok(connection)
}

/// The newest migration that was applied; `legacy` before there were any.
fn age(file: &Path, connection: &Connection, tables: &Tables<'_>) -> Result<String, ImportError> {
    for table in ["config", "deviceConfig", "app"] {
        if !tables.has(table)? {
            return Err(foreign(file, &format!("it has no table {table}, so it is not balena-supervisor's")));
        }
    }
    if !tables.has("knex_migrations")? {
        return Ok("legacy".to_owned());
    }
    let newest = "SELECT name FROM knex_migrations ORDER BY id DESC LIMIT 1";
    let name: String = connection.query_row(newest, [], |row| row.get(0)).unwrap_or_else(|_| "legacy".to_owned());
    Ok(name.trim_end_matches(".js").to_owned())
}

/// Adds the cloud's target, and the local one where the device is in local mode.
fn add_targets(
    imported: &mut Imported,
    file: &Path,
    device: &Device,
    config: &values::Config,
    apps: &Apps,
    tables: &Tables<'_>,
) -> Result<(), ImportError> {
    let variables = values::device_config(tables)?;
    imported.remarks.extend(apps.remarks.iter().cloned());
    for (source, apps) in [(device.source.as_str(), &apps.of_cloud), (LOCAL_SOURCE, &apps.local)] {
        if apps.is_empty() || (source == LOCAL_SOURCE && device.source != LOCAL_SOURCE && !config.is_on("localMode")) {
            continue;
        }
        let entry =
            document::Entry { name: config.text("name"), config: variables.clone(), apps: apps.clone().into_iter().collect() };
        let target = document::add(imported, file, device, source, entry)?;
        let left = document::refusals(&target);
        imported.remarks.extend(left.into_iter().map(|line| format!("{line}; it is left as it is until its target changes")));
    }
    if !imported.has_target {
        imported.remarks.push("no target was taken over: containers are left alone until the cloud sends one".to_owned());
    }
    Ok(())
}

fn damaged(file: &Path, what: &str) -> ImportError {
    let next = "the agent goes on without it: the cloud sends the target, and keys are read back from the containers; \
                remove the file, or put a whole one in its place";
    ImportError::file(file, format!("it is damaged ({what})"), next)
}

fn foreign(file: &Path, what: &str) -> ImportError {
    ImportError::file(file, what, "name balena-supervisor's database.sqlite")
}

#[cfg(test)]
mod tests;
