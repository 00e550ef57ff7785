//! Work on the database file: the same whether the writer does it for a running agent or a command on a file nobody has open.

use std::fs;
use std::path::Path;
use std::time::Duration;

use holdfast_plan::policy::Now;
use rusqlite::Connection;

use super::backup;
use super::data_dir::beside;
use super::error::StoreError;
use super::integrity::{self, Depth, Verdict};
use super::interface::Done;
use super::migrations::{migrations, version};
use super::open::connect_to_read;
use super::place::Place;
use super::recover::folders;
use super::task::Task;
use crate::settings::sync_folder;

/// Does it. `connection` has the database open for writing.
pub(super) fn carry_out(connection: &Connection, place: &Place, task: &Task, now: Now) -> Result<Done, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(&place.database, &error);
    match task {
        Task::Check { limit } => Ok(check(place, *limit)),
        Task::Backup { only_if_changed } => make_backup(connection, place, *only_if_changed, now),
        Task::List => list(place),
        Task::Restore { file } => prepare_restore(place, file),
        Task::Vacuum => vacuum(connection, place).map_err(failed),
        Task::Checkpoint => checkpoint(connection, place).map_err(failed),
        Task::Migrate => {
            let schema = version(connection).map_err(failed)?;
            Ok(Done::well(format!("the schema version is {schema}, the newest this agent knows is {}", migrations().len())))
        }
    }
}

/// Reads the file itself on a connection of its own: what the writer has cached could hide what became of it.
pub(super) fn check(place: &Place, limit: Duration) -> Done {
    check_on(place, limit, connect_to_read)
}

/// The same on a connection that is opened in another way.
pub(super) fn check_on(place: &Place, limit: Duration, open: fn(&Path) -> rusqlite::Result<Connection>) -> Done {
    let path = place.database.display();
    let looked = || -> rusqlite::Result<Verdict> {
        let connection = open(&place.database)?;
        let verdict = integrity::check(&connection, Depth::Full, limit)?;
        if verdict == Verdict::Whole && version(&connection)? as usize == migrations().len() {
            integrity::decode(&connection)?;
        }
        Ok(verdict)
    };
    match looked() {
        Ok(Verdict::Whole) => {
            Done::well(format!("{path} is whole: every page, index, constraint, reference and row was checked"))
        }
        Ok(Verdict::Damaged(findings)) => Done { text: format!("{path} is damaged"), findings, ..Done::default() },
        Ok(Verdict::Unfinished) => {
            let text = format!("the check of {path} was not done within {} s; nothing was found until then", limit.as_secs());
            Done { text, ..Done::default() }
        }
        Err(error) => Done { text: format!("{path} cannot be read"), findings: vec![error.to_string()], ..Done::default() },
    }
}

fn make_backup(connection: &Connection, place: &Place, only_if_changed: bool, now: Now) -> Result<Done, StoreError> {
    let (backup, new) = backup::make(connection, place, only_if_changed, now)?;
    let text = if new {
        format!("a verified copy is {}", backup.path)
    } else {
        format!("nothing changed since the newest verified copy, {}", backup.path)
    };
    Ok(Done { backups: vec![backup], ..Done::well(text) })
}

/// The copies and what was set aside.
pub(super) fn list(place: &Place) -> Result<Done, StoreError> {
    let backups = backup::listed(place, true)?;
    let set_aside: Vec<String> = folders(&place.damaged()).into_iter().map(|(_, folder)| folder.display().to_string()).collect();
    let text = format!("{} copies in {}", backups.len(), place.backups().display());
    Ok(Done { backups, set_aside, ..Done::well(text) })
}

/// Verifies a copy and lays it ready, durable: whoever opens the database next puts it in and sets the present one aside.
pub(super) fn prepare_restore(place: &Place, file: &Path) -> Result<Done, StoreError> {
    let found = backup::find(place, file);
    let schema = verify(&found)?;
    if schema as usize > migrations().len() {
        let known = migrations().len();
        let message =
            format!("it has schema version {schema}, this agent knows {known}: start the newer agent and restore it there");
        return Err(StoreError::failed(&found, message));
    }
    lay_ready(place, &found)?;
    Ok(Done::well(format!(
        "{} takes the place of {}; that one is kept in {}",
        found.display(),
        place.database.display(),
        place.damaged().display()
    )))
}

/// What a copy's schema version is; a copy that does not pass its check is not restored.
pub(super) fn verify(copy: &Path) -> Result<u32, StoreError> {
    let refused = |why| StoreError::failed(copy, format!("it cannot be restored: {why}; the database is as it was"));
    backup::verify(copy).map_err(refused)
}

/// Lays a verified copy ready, durable.
pub(super) fn lay_ready(place: &Place, copy: &Path) -> Result<(), StoreError> {
    let ready = beside(&place.database, ".restore.new");
    backup::fetch(copy, &ready)?;
    let waiting = place.waiting();
    let laid = fs::rename(&ready, &waiting).and_then(|()| sync_folder(place.folder()));
    laid.map_err(|error| StoreError::io(&waiting, "it cannot be put in its place", &error))
}

fn vacuum(connection: &Connection, place: &Place) -> rusqlite::Result<Done> {
    let before = size(&place.database);
    let mut pages = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut rows = pages.query([])?;
    // Each step gives one page back.
    while rows.next()?.is_some() {}
    drop(rows);
    drop(pages);
    move_log(connection)?;
    Ok(Done::well(format!("{} had {before} bytes and has {}", place.database.display(), size(&place.database))))
}

fn checkpoint(connection: &Connection, place: &Place) -> rusqlite::Result<Done> {
    let log = beside(&place.database, "-wal");
    let before = size(&log);
    let whole = move_log(connection)?;
    let rest = if whole { "" } else { "; readers kept some of it from being moved" };
    Ok(Done::well(format!("the log had {before} bytes and has {}{rest}", size(&log))))
}

/// Moves the log into the file; tells whether all of it went.
fn move_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}
