//! Taking over what an earlier agent left: balena-supervisor's database, an `apps.json` that came with the device's image,
//! a JSON file of state from an older tool.
//!
//! ```text
//! database.sqlite ─▶ balena ──┐
//! apps.json ───────▶ preload ─┼─▶ Imported: changes of the store, in words what they are ─▶ one commit ─▶ put away
//! state.json ──────▶ older ───┘
//! ```
//!
//! What is read becomes a target document as the cloud would word it, stored without an ETag: the first poll brings a whole
//! body. Either everything of a file is stored or nothing; an original is never changed before what it says is stored.

mod balena;
mod compose;
mod device;
mod document;
mod error;
mod imported;
mod local;
mod older;
mod preload;
mod put_away;
mod small_file;
mod start;

use std::path::Path;

pub use device::Device;
pub use error::ImportError;
pub use imported::Imported;
pub use local::local_target;
pub use start::{Told, at_start};

use crate::settings::Settings;

/// Under which name the store keeps where state was taken over from.
const IMPORTED_FROM: &str = "imported_from";

/// What SQLite files begin with.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Reads a file somebody named: balena-supervisor's database by its first bytes, anything else as JSON. The file is left as
/// it is; nothing is stored yet.
///
/// # Errors
/// What the file is instead, which row makes no sense, and what to do.
pub fn read_named(file: &Path, settings: &Settings) -> Result<Imported, ImportError> {
    let device = Device::of(settings)?;
    if small_file::begins_with(file, SQLITE_MAGIC)? {
        return balena::read(file, &device, &settings.data_dir);
    }
    let text = small_file::read(file)?;
    let mut imported =
        if older::is_one(&text) { older::read(file, &text, &device)? } else { preload::read(file, &text, &device)? };
    if imported.changes.is_empty() {
        return Err(ImportError::file(file, "there is no app in it", "name the file that holds the apps"));
    }
    imported.came_from(&format!("{}", file.display()));
    Ok(imported)
}

/// Keeps a copy of a JSON file that was imported by name, where later nobody has to look for it.
///
/// # Errors
/// What the file system answered: what the file says is stored all the same.
pub fn keep_copy(file: &Path, settings: &Settings) -> Result<(), ImportError> {
    if small_file::begins_with(file, SQLITE_MAGIC)? {
        return Ok(());
    }
    put_away::copy_to_archive(file, &small_file::read(file)?, &settings.data_dir).map(drop)
}

#[cfg(test)]
mod tests;
