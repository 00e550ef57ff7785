//! A copy of the database to give away: the same tables and rows, each text as somebody else lets it pass.
//!
//! It is built row by row and not copied by pages: pages that were freed still hold what stood on them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::error::StoreError;
use super::reading::open;

/// A text in the database.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// Its table.
    pub table: &'a str,
    /// Its column.
    pub column: &'a str,
    /// What the column `name` of its row says, where there is one.
    pub name: Option<&'a str>,
    /// The text.
    pub text: &'a str,
}

/// Copies a database into a new file (mode 0600), or into nothing when `to` is `None`: every text as `pass` lets it. The
/// database itself is not changed; an agent may have it open. Returns how many rows there were.
///
/// # Errors
/// When it cannot be read, or the copy cannot be written.
pub fn copy_without(from: &Path, to: Option<&Path>, pass: &mut dyn FnMut(Cell<'_>) -> String) -> Result<u64, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(from, &error);
    let source = open(from).map_err(failed)?;
    let target = match to {
        None => Connection::open_in_memory(),
        Some(path) => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            made.map_err(|error| StoreError::io(path, "it cannot be made", &error))?;
            Connection::open(path)
        }
    };
    copy(&source, &target.map_err(failed)?, pass).map_err(failed)
}

fn copy(source: &Connection, target: &Connection, pass: &mut dyn FnMut(Cell<'_>) -> String) -> rusqlite::Result<u64> {
    // One moment of the database, and constraints that what was removed need not keep.
    source.execute_batch("BEGIN")?;
    target.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;
         BEGIN",
    )?;
    for pragma in ["application_id", "user_version"] {
        let number: i64 = source.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        target.execute_batch(&format!("PRAGMA {pragma} = {number}"))?;
    }
    let mut schema =
        source.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?;
    let objects = schema.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let objects: Vec<(String, String, String)> = objects.collect::<rusqlite::Result<_>>()?;
    let mut rows = 0;
    for (_, name, sql) in objects.iter().filter(|(kind, ..)| kind == "table") {
        target.execute_batch(sql)?;
        rows += copy_table(source, target, name, pass)?;
    }
    for (.., sql) in objects.iter().filter(|(kind, ..)| kind != "table") {
        target.execute_batch(sql)?;
    }
    target.execute_batch("COMMIT")?;
    Ok(rows)
}

fn copy_table(
    source: &Connection,
    target: &Connection,
    table: &str,
    pass: &mut dyn FnMut(Cell<'_>) -> String,
) -> rusqlite::Result<u64> {
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    let mut select = source.prepare(&format!("SELECT * FROM {quoted}"))?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let mut insert = target.prepare(&format!("INSERT INTO {quoted} VALUES ({places})"))?;
    let named = columns.iter().position(|column| column == "name");
    let (mut rows, mut count) = (select.query([])?, 0);
    while let Some(row) = rows.next()? {
        let name = match named.map(|at| row.get_ref(at)).transpose()? {
            Some(ValueRef::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let mut values = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let text = match row.get_ref(at)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => {
                    values.push(Value::try_from(other)?);
                    continue;
                }
            };
            values.push(Value::Text(pass(Cell { table, column, name: name.as_deref(), text: &text })));
        }
        insert.execute(params_from_iter(values))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_passes_and_nothing_of_the_old_pages_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        let database = Connection::open(&from).unwrap();
        database
            .execute_batch(
                "CREATE TABLE api_key (key TEXT NOT NULL UNIQUE CHECK (length(key) = 7), n INTEGER) STRICT;
                 CREATE TABLE value (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
                 CREATE VIEW both AS SELECT key, n FROM api_key; CREATE INDEX i ON api_key (n);
                 INSERT INTO api_key VALUES ('hunter2', 5), ('hunter3', NULL); INSERT INTO value VALUES ('secret', 'hunter4');
                 INSERT INTO value VALUES ('gone', 'hunter5'); DELETE FROM value WHERE name = 'gone';
                 PRAGMA user_version = 3;",
            )
            .unwrap();
        drop(database);
        let mut seen = Vec::new();
        let mut pass = |cell: Cell<'_>| {
            seen.push(format!("{}.{} {:?}", cell.table, cell.column, cell.name));
            if cell.column == "name" { cell.text.to_owned() } else { format!("({})", seen.len()) }
        };
        assert_eq!(copy_without(&from, Some(&to), &mut pass), Ok(3));
        assert!(seen.contains(&"value.value Some(\"secret\")".to_owned()), "{seen:?}");
        let bytes = std::fs::read(&to).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"hunter"));
        let copy = Connection::open(&to).unwrap();
        assert_eq!(copy.query_row("SELECT count(*) FROM both", [], |row| row.get::<_, i64>(0)), Ok(2));
        assert_eq!(copy.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)), Ok(3));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(copy_without(&from, Some(&to), &mut |cell| cell.text.to_owned()).is_err(), "what is there stays");
    }
}
