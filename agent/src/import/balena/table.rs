//! Rows of a database whose schema is only known by looking.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;

use super::super::error::ImportError;

/// More rows than this in one table are no state of a device.
const MOST_ROWS: usize = 10_000;

/// The tables of one database.
pub(super) struct Tables<'a> {
    connection: &'a Connection,
    file: &'a Path,
}

impl<'a> Tables<'a> {
    pub fn new(connection: &'a Connection, file: &'a Path) -> Tables<'a> {
        Tables { connection, file }
    }

    /// Whether there is such a table; a view does not count, it could go on for ever.
    pub fn has(&self, table: &str) -> Result<bool, ImportError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        self.connection.query_row(sql, [table], |row| row.get(0)).map_err(|error| self.failed(table, &error))
    }

    /// Every row of a table in the order they were written; none when there is no such table.
    pub fn rows(&self, table: &'static str) -> Result<Vec<Row<'a>>, ImportError> {
        if !self.has(table)? {
            return Ok(Vec::new());
        }
        let failed = |error: rusqlite::Error| self.failed(table, &error);
        let sql = format!("SELECT rowid AS \"#\", * FROM \"{table}\" ORDER BY rowid LIMIT {}", MOST_ROWS + 1);
        let mut select = self.connection.prepare(&sql).map_err(failed)?;
        let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
        let mut found = select.query([]).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(failed)? {
            let cell = |(index, name): (usize, &String)| Ok((name.clone(), row.get::<_, Cell>(index)?));
            let cells = columns.iter().enumerate().map(cell).collect::<rusqlite::Result<_>>().map_err(failed)?;
            rows.push(Row { file: self.file, table, cells });
        }
        if rows.len() > MOST_ROWS {
            return Err(ImportError::file(self.file, format!("table {table} has more than {MOST_ROWS} rows"), MEND));
        }
        Ok(rows)
    }

    fn failed(&self, table: &str, error: &rusqlite::Error) -> ImportError {
        ImportError::file(self.file, format!("table {table} cannot be read: {error}"), MEND)
    }
}

const MEND: &str = "start balena-supervisor once more so that it mends its database, or remove the file: \
                    the cloud sends the target, and keys are read back from the containers";

/// One row.
pub(super) struct Row<'a> {
    file: &'a Path,
    table: &'static str,
    cells: BTreeMap<String, Cell>,
}

impl Row<'_> {
    /// Whether the table has this column.
    pub fn has(&self, column: &str) -> bool {
        self.cells.contains_key(column)
    }

    /// A text; numbers are texts too, `NULL` and a missing column are none.
    pub fn text(&self, column: &str) -> Option<String> {
        match self.cells.get(column)? {
            Cell::Text(text) => Some(text.clone()),
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Real(number) => Some(number.to_string()),
            Cell::Null | Cell::Blob(_) => None,
        }
    }

    /// A whole number that is not negative, also as a text.
    pub fn number(&self, column: &str) -> Option<u64> {
        self.text(column)?.trim().parse().ok()
    }

    /// A truth value; balena's are 0 and 1.
    pub fn flag(&self, column: &str) -> bool {
        self.text(column).is_some_and(|text| text == "1" || text == "true")
    }

    /// A number nothing can be done without.
    pub fn needed_number(&self, column: &str) -> Result<u64, ImportError> {
        self.number(column).ok_or_else(|| self.wrong(column, "it is not a whole number"))
    }

    /// A column of JSON; `NULL` and a missing column are `null`.
    pub fn json(&self, column: &str) -> Result<Value, ImportError> {
        let Some(text) = self.text(column) else { return Ok(Value::Null) };
        serde_json::from_str(&text).map_err(|error| self.wrong(column, &format!("it is not JSON ({error})")))
    }

    /// What is wrong with a column of this row.
    pub fn wrong(&self, column: &str, what: &str) -> ImportError {
        let what = format!("table {}, row {}, column {column}: {what}", self.table, self.shown());
        ImportError::file(self.file, what, MEND)
    }

    /// The row's number, with a name where it has one.
    pub fn shown(&self) -> String {
        let number = self.text("#").unwrap_or_default();
        match self.text("name").or_else(|| self.text("key")) {
            Some(name) if self.table != "apiSecret" => format!("{number} ({name})"),
            _ => number,
        }
    }
}
