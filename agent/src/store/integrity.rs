//! Whether a database is whole, and what stands in it: checks that end within a time, counts, a fingerprint.

use std::sync::mpsc;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};

use super::tables;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Structure of every page and the constraints of every row.
    Quick,
    /// The same, every index against its table, and foreign keys.
    Full,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Whole,
    /// These things, the first of them.
    Damaged(Vec<String>),
    /// It was not done in time.
    Unfinished,
}

/// How soon a check that should have ended is told so again.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// Findings that are kept.
const FINDINGS: usize = 10;

/// Checks a database for at most `limit`.
///
/// # Errors
/// What SQLite answers instead of a verdict; damage it trips over is one of these.
pub(super) fn check(connection: &Connection, depth: Depth, limit: Duration) -> rusqlite::Result<Verdict> {
    let handle = connection.get_interrupt_handle();
    let (done, waits) = mpsc::channel::<()>();
    let alarm = std::thread::Builder::new().name("check-limit".to_owned()).spawn(move || {
        let mut wait = limit;
        // Again and again: between two statements there is nothing to interrupt.
        while waits.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
            handle.interrupt();
            wait = INTERRUPT_AGAIN;
        }
    });
    let found = findings(connection, depth);
    drop(done);
    // Without the thread (no memory for one) the check is merely not bounded.
    if let Ok(alarm) = alarm {
        let _ = alarm.join();
    }
    match found {
        Ok(found) if found.is_empty() => Ok(Verdict::Whole),
        Ok(found) => Ok(Verdict::Damaged(found)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(Verdict::Unfinished),
        Err(error) => Err(error),
    }
}

fn findings(connection: &Connection, depth: Depth) -> rusqlite::Result<Vec<String>> {
    let pragma = match depth {
        Depth::Quick => "quick_check",
        Depth::Full => "integrity_check",
    };
    let mut found = texts(connection, &format!("PRAGMA {pragma}({FINDINGS})"))?;
    found.retain(|line| line != "ok");
    if depth == Depth::Full && found.is_empty() {
        let broken = "SELECT 'table ' || \"table\" || ', row ' || ifnull(rowid, '?') || ': refers to nothing in ' || parent
                      FROM pragma_foreign_key_check LIMIT 10";
        found = texts(connection, broken)?;
    }
    Ok(found)
}

/// The first column of every row of a query, as text.
pub(super) fn texts(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Reads every row the way the agent does at its start.
///
/// # Errors
/// When one cannot be read: the file is sound and its content is not.
pub(super) fn decode(connection: &Connection) -> rusqlite::Result<()> {
    let mut targets = connection.prepare("SELECT source, uuid FROM stored_target")?;
    let owners: Vec<(String, String)> =
        targets.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (source, uuid) in &owners {
        tables::load(connection, source, uuid)?;
    }
    if owners.is_empty() { tables::load(connection, "", "").map(drop) } else { Ok(()) }
}

/// A hash over everything that stands in the tables: equal content, equal fingerprint.
pub(super) fn fingerprint(connection: &Connection) -> rusqlite::Result<[u8; 32]> {
    let mut hash = Context::new(&SHA256);
    for table in table_names(connection)? {
        feed(&mut hash, b't', table.as_bytes());
        let mut select = connection.prepare(&format!("SELECT * FROM {}", quoted(&table)))?;
        let columns = select.column_count();
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                match row.get_ref(column)? {
                    ValueRef::Null => feed(&mut hash, b'n', b""),
                    ValueRef::Integer(number) => feed(&mut hash, b'i', &number.to_be_bytes()),
                    ValueRef::Real(number) => feed(&mut hash, b'r', &number.to_be_bytes()),
                    ValueRef::Text(text) => feed(&mut hash, b's', text),
                    ValueRef::Blob(bytes) => feed(&mut hash, b'b', bytes),
                }
            }
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Ok(digest)
}

fn feed(hash: &mut Context, kind: u8, bytes: &[u8]) {
    hash.update(&[kind]);
    hash.update(&(bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    texts(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_follows_the_content_and_nothing_else() {
        let database = || {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE TABLE a (x, y); CREATE TABLE \"b\"\"c\" (z); INSERT INTO a VALUES (1, 'one');")
                .unwrap();
            connection
        };
        let (one, two) = (database(), database());
        assert_eq!(fingerprint(&one).unwrap(), fingerprint(&two).unwrap());
        two.execute_batch("VACUUM").unwrap();
        assert_eq!(fingerprint(&one).unwrap(), fingerprint(&two).unwrap());
        let same = fingerprint(&one).unwrap();
        for change in ["UPDATE a SET y = 'onf'", "UPDATE a SET x = '1'", "INSERT INTO \"b\"\"c\" VALUES (NULL)"] {
            two.execute_batch(change).unwrap();
            assert_ne!(fingerprint(&two).unwrap(), same, "{change}");
            two.execute_batch("DELETE FROM a; DELETE FROM \"b\"\"c\"; INSERT INTO a VALUES (1, 'one')").unwrap();
        }
    }

    #[test]
    fn a_check_ends_when_its_time_is_up() {
        let connection = Connection::open_in_memory().unwrap();
        let rows =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) INSERT INTO t SELECT i FROM n";
        connection.execute_batch("CREATE TABLE t (x); CREATE INDEX i ON t (x);").unwrap();
        connection.execute_batch(rows).unwrap();
        assert_eq!(check(&connection, Depth::Full, Duration::ZERO).unwrap(), Verdict::Unfinished);
        assert_eq!(check(&connection, Depth::Full, Duration::from_secs(600)).unwrap(), Verdict::Whole);
    }

    #[test]
    fn broken_references_are_found_by_the_full_check() {
        let connection = Connection::open_in_memory().unwrap();
        let broken = "PRAGMA foreign_keys = OFF; CREATE TABLE a (x INTEGER PRIMARY KEY);
            CREATE TABLE b (a INTEGER REFERENCES a (x)); INSERT INTO b VALUES (7);";
        connection.execute_batch(broken).unwrap();
        let limit = Duration::from_secs(60);
        assert_eq!(check(&connection, Depth::Quick, limit).unwrap(), Verdict::Whole);
        let found = check(&connection, Depth::Full, limit).unwrap();
        assert!(matches!(&found, Verdict::Damaged(lines) if lines[0].contains("table b, row 1")), "{found:?}");
    }
}
