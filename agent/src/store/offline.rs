//! Work on the database file while no agent runs.

use std::path::Path;

use holdfast_plan::policy::Now;

use super::backup;
use super::data_dir::DataLock;
use super::error::StoreError;
use super::interface::Done;
use super::migrations::{migrations, revert, version};
use super::open::{self, connect};
use super::place::Place;
use super::task::Task;
use super::upkeep;

/// Does what the agent would do, with the data directory's lock taken for as long as it lasts.
///
/// # Errors
/// [`StoreError::Held`] when an agent runs: then it is to be asked. Else what kept it from being done.
pub fn work_on_file(place: &Place, task: &Task, now: Now) -> Result<Done, StoreError> {
    let _lock = take(place)?;
    match task {
        // What cannot be opened is what these are for.
        Task::Check { limit } => {
            present(place)?;
            Ok(upkeep::check(place, *limit))
        }
        Task::List => upkeep::list(place),
        Task::Restore { file } => {
            let done = upkeep::prepare_restore(place, file)?;
            open::open(place, now).map(|_| done)
        }
        Task::Migrate => {
            present(place)?;
            let opened = open::open(place, now)?;
            let text = match opened.recovery {
                Some(recovery) => recovery.message,
                None => format!("{} has schema version {}", place.database.display(), opened.schema),
            };
            Ok(Done { ok: true, text, ..Done::default() })
        }
        Task::Backup { .. } | Task::Vacuum | Task::Checkpoint => {
            present(place)?;
            upkeep::carry_out(&connect(&place.database)?, place, task, now)
        }
    }
}

/// Takes the schema back to an older version with the scripts stored in the database, after a verified copy: for the agent
/// that is to be put back.
///
/// # Errors
/// When an agent runs, when there is no way back; the schema is then as it was.
pub fn revert_to(place: &Place, target: u32, now: Now) -> Result<Done, StoreError> {
    let _lock = take(place)?;
    present(place)?;
    let path = &place.database;
    let mut connection = connect(path)?;
    let found = version(&connection).map_err(|error| StoreError::sqlite(path, &error))?;
    if target == 0 || target >= found {
        let message = format!("it has schema version {found}; one to go back to lies between 1 and {}", found.saturating_sub(1));
        return Err(StoreError::failed(path, message));
    }
    let (copy, _) = backup::make(&connection, place, true, now)?;
    revert(&mut connection, target).map_err(|error| StoreError::failed(path, format!("{error}; the schema is as it was")))?;
    let newest = migrations().len();
    let text = format!(
        "{} went from schema version {found} to {target}; a verified copy of it as it was is {}. An agent that knows version \
         {newest} brings it there again at its next start",
        path.display(),
        copy.path
    );
    Ok(Done { backups: vec![copy], ..Done::well(text) })
}

/// The schema version of a database that nobody has open.
///
/// # Errors
/// When there is none or it cannot be read.
pub fn schema_of(database: &Path) -> Result<u32, StoreError> {
    present_at(database)?;
    open::connect_to_read(database)
        .and_then(|connection| version(&connection))
        .map_err(|error| StoreError::sqlite(database, &error))
}

/// Lays a verified copy ready for whichever agent opens the database next, whatever schema version this one knows: it puts it
/// in and sets the present one aside. Whoever asks for it holds the data directory.
///
/// # Errors
/// When the copy does not pass its check, or there is no room for it.
pub fn lay_ready(place: &Place, copy: &Path) -> Result<(), StoreError> {
    upkeep::verify(copy)?;
    upkeep::lay_ready(place, copy)
}

/// Not by making the data directory: a wrong path is to be said.
fn take(place: &Place) -> Result<DataLock, StoreError> {
    if !place.data_dir.is_dir() {
        return Err(StoreError::failed(&place.data_dir, "there is no such folder; name the data directory with --data-dir"));
    }
    DataLock::take(&place.data_dir)
}

fn present(place: &Place) -> Result<(), StoreError> {
    present_at(&place.database)
}

fn present_at(file: &Path) -> Result<(), StoreError> {
    if file.is_file() {
        Ok(())
    } else {
        Err(StoreError::failed(file, "there is no such file; name the database with --database"))
    }
}
