//! Makes a new database.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use holdfast_plan::policy::Now;

use super::super::data_dir::{beside, ensure_folder};
use super::super::error::StoreError;
use super::super::migrations::{migrate, migrations};
use super::super::place::{Place, remove, remove_database};
use super::APPLICATION_ID;
use super::connect::connect;
use crate::settings::sync_folder;

/// Makes a whole, empty database under another name: what goes wrong here leaves everything else as it was.
pub(in crate::store) fn make(place: &Place, now: Now) -> Result<PathBuf, StoreError> {
    ensure_folder(place.folder())?;
    let new = beside(&place.database, ".new");
    // One that cannot be removed fails right below.
    let _ = remove_database(&new);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    made.map_err(|error| StoreError::io(&new, "it cannot be made", &error))?;
    fill(&new, now)?;
    Ok(new)
}

fn fill(new: &Path, now: Now) -> Result<(), StoreError> {
    let mut connection = connect(new)?;
    let prepare =
        format!("PRAGMA synchronous = FULL; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID};");
    connection.execute_batch(&prepare).map_err(|error| StoreError::sqlite(new, &error))?;
    let made = migrate(&mut connection, migrations(), now.wall_ms);
    made.map_err(|error| StoreError::failed(new, format!("{error}; see that there is free space")))?;
    connection.close().map_err(|(_, error)| StoreError::sqlite(new, &error))
}

/// Puts a finished file into the database's place, which is free or holds a file without content.
pub(in crate::store) fn put_in(new: &Path, place: &Place) -> Result<(), StoreError> {
    let path = &place.database;
    let renamed = fs::rename(new, path).and_then(|()| sync_folder(place.folder()));
    renamed.map_err(|error| StoreError::io(path, "it cannot be put in its place", &error))?;
    // What was held against the file before says nothing of this one.
    let _ = remove(&place.suspect());
    Ok(())
}
