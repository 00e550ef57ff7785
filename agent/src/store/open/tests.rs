//! Whose file it is, how it is made, and that what is refused is not touched.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("database.sqlite")
    }

    /// Every file with its content, but for the index of the log, which SQLite makes anew whenever it looks.
    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths
            .filter(|path| !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        files.retain(|(path, bytes)| !(path.to_string_lossy().ends_with("-wal") && bytes.is_empty()));
        files.sort();
        files
    }

    fn refused(&self) -> String {
        let before = self.content();
        let error = open(&self.database(), None).map(|_| ()).unwrap_err().to_string();
        assert_eq!(self.content(), before, "a refused file was touched");
        error
    }
}

fn pragma(connection: &Connection, name: &str) -> i64 {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}

/// Closes the way SIGKILL does: what is in the log stays there.
fn kill(connection: Connection) {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
}

#[test]
fn made_as_it_should_be() {
    let folder = Folder::new();
    let opened = open(&folder.database(), Some(7)).unwrap();
    assert_eq!((opened.schema, opened.journal_mode.as_str()), (MIGRATIONS.len() as u32, "wal"));
    let connection = &opened.connection;
    for (name, value) in [
        ("application_id", i64::from(APPLICATION_ID)),
        ("user_version", MIGRATIONS.len() as i64),
        ("auto_vacuum", 2),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("busy_timeout", 5000),
        ("journal_size_limit", i64::from(JOURNAL_LIMIT_BYTES)),
    ] {
        assert_eq!(pragma(connection, name), value, "{name}");
    }
    connection.execute("INSERT INTO value VALUES ('a', 'b')", []).unwrap();
    let applied: (String, i64) =
        connection.query_row("SELECT name, applied_ms FROM migration", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(applied, ("foundation".to_owned(), 7));
    for suffix in ["", "-wal", "-shm"] {
        let mode = fs::metadata(beside(&folder.database(), suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn opening_again_writes_nothing_into_the_file() {
    let folder = Folder::new();
    drop(open(&folder.database(), None).unwrap());
    let before = folder.content();
    drop(open(&folder.database(), None).unwrap());
    assert_eq!(folder.content(), before);
}

#[test]
fn another_applications_database_is_refused() {
    for id in [0, 0x4242] {
        let folder = Folder::new();
        let other = Connection::open(folder.database()).unwrap();
        other.execute_batch(&format!("PRAGMA application_id = {id}; PRAGMA journal_mode = WAL; CREATE TABLE t (x);")).unwrap();
        kill(other);
        let error = folder.refused();
        assert!(error.contains("another application's database"), "{error}");
    }
}

#[test]
fn a_newer_agents_database_is_refused() {
    for killed in [true, false] {
        let folder = Folder::new();
        let newer = open(&folder.database(), None).unwrap().connection;
        newer.execute_batch("CREATE TABLE later (x INTEGER) STRICT; PRAGMA user_version = 99;").unwrap();
        if killed {
            kill(newer)
        } else {
            drop(newer)
        }
        let error = folder.refused();
        assert!(error.contains("schema version 99, this agent knows ") && error.contains("newer agent"), "{error}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = Folder::new();
    fs::write(folder.database(), "not a database, but longer than nothing").unwrap();
    assert!(folder.refused().contains("damaged or not an SQLite database"));
    fs::remove_file(folder.database()).unwrap();
    fs::create_dir(folder.database()).unwrap();
    let error = open(&folder.database(), None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("move it away"), "{error}");
}

#[test]
fn a_damaged_database_is_refused() {
    let folder = Folder::new();
    let opened = open(&folder.database(), None).unwrap();
    let body = format!("\"{}\"", "x".repeat(100_000));
    opened.connection.execute("INSERT INTO stored_target VALUES ('s', 'u', NULL, ?1)", [body]).unwrap();
    drop(opened);
    let whole = fs::read(folder.database()).unwrap();
    for damage in ["cut", "zeroed"] {
        let mut bytes = whole.clone();
        if damage == "cut" {
            bytes.truncate(whole.len() / 2)
        } else {
            bytes[4096..8192].fill(0)
        }
        fs::write(folder.database(), bytes).unwrap();
        let error = open(&folder.database(), None).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("restore a backup"), "{damage}: {error}");
    }
}

#[test]
fn an_interrupted_creation_and_left_over_logs_do_no_harm() {
    let folder = Folder::new();
    let opened = open(&folder.database(), None).unwrap();
    opened.connection.execute("INSERT INTO value VALUES ('old', 'log')", []).unwrap();
    kill(opened.connection);
    let log = fs::read(beside(&folder.database(), "-wal")).unwrap();
    assert!(!log.is_empty());
    fs::write(folder.database(), "").unwrap();
    fs::write(beside(&folder.database(), ".new"), "half").unwrap();
    fs::write(beside(&folder.database(), ".new-journal"), "half").unwrap();

    let opened = open(&folder.database(), None).unwrap();
    let rows: i64 = opened.connection.query_row("SELECT count(*) FROM value", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0, "a left-over log was replayed into a new database");
    assert_eq!(fs::read(beside(&folder.database(), "-wal.left-over")).unwrap(), log);
    assert!(!beside(&folder.database(), ".new").exists());
}

#[test]
fn a_database_that_others_could_read_is_closed_to_them() {
    let folder = Folder::new();
    drop(open(&folder.database(), None).unwrap());
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&folder.database(), None).unwrap());
    assert_eq!(fs::metadata(folder.database()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_database_elsewhere_gets_its_folder() {
    let folder = Folder::new();
    let path = folder.0.path().join("a/b/database.sqlite");
    drop(open(&path, None).unwrap());
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}
