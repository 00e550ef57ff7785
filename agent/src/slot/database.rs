//! The database, when a version is gone back from.

use std::path::Path;

use crate::store::{Place, lay_ready, schema_of};

/// Lays the copy of before ready when the schema moved, for whichever agent opens the database next. What became of it comes
/// back, for people. Nobody may have the database open; may be done twice.
pub(super) fn put_back(place: &Place, before: u32, copy: &Path) -> String {
    match schema_of(&place.database) {
        // Nothing is lost where nothing has to be.
        Ok(schema) if schema == before => String::new(),
        Ok(schema) if !copy.is_file() => format!("; there is no copy of the database from before schema version {schema}"),
        Ok(schema) => match lay_ready(place, copy) {
            Ok(()) => format!(
                "; it had brought the database to schema version {schema}, so the copy of before it (version {before}) takes its place"
            ),
            // The agent that is started takes the schema back with the scripts in the database.
            Err(error) => format!("; {error}"),
        },
        // The agent that is started deals with a database that cannot be read.
        Err(error) => format!("; {error}"),
    }
}
