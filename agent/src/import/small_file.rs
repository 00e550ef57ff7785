//! Reading a file somebody else wrote: bounded, and only a plain one.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::error::ImportError;

/// The largest JSON file that is read, bytes: as much as a target may have.
const LARGEST_BYTES: u64 = 16 * 1024 * 1024;

/// Opens a plain file; a pipe or device is refused, since reading it could wait for ever.
pub(super) fn open(path: &Path) -> Result<File, ImportError> {
    let failed = |error| ImportError::io(path, "it cannot be read", &error);
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(ImportError::file(path, "it is not a plain file", "name the file itself"));
    }
    File::open(path).map_err(failed)
}

/// Whether a file begins with these bytes.
pub(super) fn begins_with(path: &Path, bytes: &[u8]) -> Result<bool, ImportError> {
    let mut head = Vec::new();
    let read = open(path)?.take(bytes.len() as u64).read_to_end(&mut head);
    read.map_err(|error| ImportError::io(path, "it cannot be read", &error))?;
    Ok(head == bytes)
}

/// The whole text of a file.
pub(super) fn read(path: &Path) -> Result<String, ImportError> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(LARGEST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImportError::io(path, "it cannot be read", &error))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(ImportError::file(path, "it is larger than 16 MiB", "see that it is the right file"));
    }
    String::from_utf8(bytes).map_err(|_| not_json(path, "it is not text"))
}

/// The same, when there may be none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, ImportError> {
    match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // A folder of that name is what an engine makes of a bind mount without a source.
        Ok(found) if found.is_dir() => Ok(None),
        _ => read(path).map(Some),
    }
}

/// A text as JSON.
pub(super) fn json(path: &Path, text: &str) -> Result<Value, ImportError> {
    serde_json::from_str(text).map_err(|error| not_json(path, &format!("it is not JSON: {error}")))
}

fn not_json(path: &Path, what: &str) -> ImportError {
    ImportError::file(path, what, "mend the file, or remove it")
}
