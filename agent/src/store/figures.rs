//! Counting what is in the database.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::data_dir::beside;
use super::flash::Writes;
use super::interface::Figures;

/// Everything there is to count.
pub(super) fn figures(connection: &Connection, path: &Path, writes: Writes) -> rusqlite::Result<Figures> {
    Ok(Figures {
        page_bytes: pragma(connection, "page_size")?,
        pages: pragma(connection, "page_count")?,
        free_pages: pragma(connection, "freelist_count")?,
        log_bytes: std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len()),
        rows: rows(connection)?,
        writes,
    })
}

/// Rows by table.
pub(super) fn rows(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut select = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let count = |name: String| {
        let sql = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        let rows = connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        Ok((name, rows.unsigned_abs()))
    };
    names.into_iter().map(count).collect()
}

/// A number that SQLite keeps.
pub(super) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Free and all bytes of the partition that holds a path; `None` where the system does not say.
pub(super) fn partition(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}
