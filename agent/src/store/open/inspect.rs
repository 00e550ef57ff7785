//! Looks at a file without SQLite, which would touch it: whose is it?

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::super::error::StoreError;
use super::super::migrations::BOOKKEEPING_MARK;
use super::trouble::Trouble;
use super::{APPLICATION_ID, MAGIC};

/// Bytes of SQLite's file header.
const HEADER_BYTES: u64 = 100;
/// How far into a file the traces of the agent's own schema are looked for.
const SEARCHED_BYTES: u64 = 4 * 1024 * 1024;

/// What lies at a path.
pub(super) enum Found {
    /// Nothing, or a file without content.
    Nothing,
    /// The agent's own database, as far as its header tells.
    Ours,
}

/// Looks at the file.
pub(super) fn inspect(path: &Path) -> Result<Found, Trouble> {
    let mut header = Vec::new();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(path, &error)),
    };
    match file.by_ref().take(HEADER_BYTES).read_to_end(&mut header) {
        Ok(0) => return Ok(Found::Nothing),
        Ok(_) => {}
        // The storage gives the first block of the file back no more.
        Err(error) if error.raw_os_error() == Some(EIO) => return Err(Trouble::Damaged(format!("it cannot be read: {error}"))),
        Err(error) => return Err(unreadable(path, &error)),
    }
    if header.len() < HEADER_BYTES as usize || !header.starts_with(MAGIC) {
        return Err(no_database(path, &header));
    }
    let id = number(&header, 68);
    if id != APPLICATION_ID as u32 {
        if has_our_schema(&mut file) {
            return Err(Trouble::Damaged(format!("its header names the application {id:#010x}, its tables are the agent's")));
        }
        let message =
            format!("it is another application's database (application_id {id:#010x}) and was left as it is: name another file");
        return Err(StoreError::failed(path, message).into());
    }
    sane(&header).map(|()| Found::Ours).map_err(|what| Trouble::Damaged(format!("its header is not what SQLite writes: {what}")))
}

const EIO: i32 = 5;

fn unreadable(path: &Path, error: &io::Error) -> Trouble {
    StoreError::io(path, "it cannot be read", error).into()
}

/// Something without SQLite's header: text is somebody's file, anything else was a database.
fn no_database(path: &Path, header: &[u8]) -> Trouble {
    let text = std::str::from_utf8(header).is_ok_and(|text| !text.contains('\0'));
    if text && !MAGIC.starts_with(header) {
        let message = "it is a text file, not a database, and was left as it is: move it away or name another file";
        return StoreError::failed(path, message).into();
    }
    Trouble::Damaged("SQLite's header is gone".to_owned())
}

/// Fields of the header that are always the same in a database the agent made. SQLite takes some of them at their word, as
/// "may not be written" for example, where nothing but damage can have changed them.
fn sane(header: &[u8]) -> Result<(), String> {
    let [write, read] = [header[18], header[19]];
    if write != read || !(1..=2).contains(&write) {
        return Err(format!("format versions {write} and {read}"));
    }
    if header[20..24] != [0, 64, 32, 32] {
        return Err(format!("payload fractions {:?}", &header[20..24]));
    }
    let (schema_format, encoding) = (number(header, 44), number(header, 56));
    if !matches!(schema_format, 0 | 4) || encoding > 1 {
        return Err(format!("schema format {schema_format}, encoding {encoding}"));
    }
    Ok(())
}

fn number(header: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(bytes)
}

/// Whether the text of the agent's own schema stands in the file.
fn has_our_schema(file: &mut File) -> bool {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(SEARCHED_BYTES).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(BOOKKEEPING_MARK.len()).any(|window| window == BOOKKEEPING_MARK.as_bytes())
}
