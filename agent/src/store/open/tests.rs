//! Whose file it is, how it is made, and that what is refused is not touched.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::backup;
use super::super::migrations::version;
use super::connect::JOURNAL_LIMIT_BYTES;
use super::*;

const NOW: Now = Now { wall_ms: Some(7), machine_ms: 7, boot_ms: 0 };

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("database.sqlite")
    }

    fn place(&self) -> Place {
        Place::new(self.0.path(), &self.database())
    }

    fn open(&self) -> Result<Opened, StoreError> {
        open(&self.place(), NOW)
    }

    /// Makes the database with a value in it.
    fn make(&self, value: &str) {
        set(&self.open().unwrap().connection, value);
    }

    /// A backup of the database as it is.
    fn back_up(&self) {
        let connection = self.open().unwrap().connection;
        backup::make(&connection, &self.place(), false, NOW).unwrap();
    }

    fn set_aside(&self) -> usize {
        recover::folders(&self.place().damaged()).len()
    }

    /// Every file with its content, but for the index of the log, which SQLite makes anew whenever it looks.
    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
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
        let error = self.open().map(|_| ()).unwrap_err().to_string();
        assert_eq!(self.content(), before, "a refused file was touched");
        error
    }
}

fn set(connection: &Connection, value: &str) {
    let sql = "INSERT INTO value VALUES ('n', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(sql, [value]).unwrap();
}

fn value(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT value FROM value", [], |row| row.get(0)).ok()
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
    let opened = folder.open().unwrap();
    assert_eq!((opened.schema, opened.journal_mode.as_str()), (migrations().len() as u32, "wal"));
    let connection = &opened.connection;
    for (name, value) in [
        ("application_id", i64::from(APPLICATION_ID)),
        ("user_version", migrations().len() as i64),
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
    drop(folder.open().unwrap());
    let before = folder.content();
    drop(folder.open().unwrap());
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

/// A step this agent does not know, with its way back.
fn later(connection: &Connection, down: &str) {
    let next = migrations().len() + 1;
    let up = format!(
        "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (1), (2); PRAGMA user_version = {next};
         INSERT INTO migration VALUES ({next}, 'later', '{down}', NULL);"
    );
    connection.execute_batch(&up).unwrap();
}

#[test]
fn a_newer_agents_database_without_a_way_back_is_refused() {
    for killed in [true, false] {
        let folder = Folder::new();
        let newer = folder.open().unwrap().connection;
        newer.execute_batch("CREATE TABLE later (x INTEGER) STRICT; PRAGMA user_version = 99;").unwrap();
        if killed {
            kill(newer)
        } else {
            drop(newer)
        }
        let error = folder.refused();
        let known = migrations().len();
        assert!(
            error.contains(&format!("schema version 99, this agent knows {known}")) && error.contains("newer agent"),
            "{error}"
        );
    }
}

#[test]
fn a_newer_agents_steps_are_taken_back_with_their_own_scripts() {
    let folder = Folder::new();
    folder.make("kept");
    later(&folder.open().unwrap().connection, "DROP TABLE later");
    let opened = folder.open().unwrap();
    let recovery = opened.recovery.unwrap();
    assert_eq!(recovery.outcome, Outcome::Reverted);
    assert!(recovery.message.contains("lost with it: table later (2 rows)"), "{}", recovery.message);
    assert_eq!(value(&opened.connection).as_deref(), Some("kept"));
    let copies = backup::listed(&folder.place(), true).unwrap();
    assert_eq!((copies.len(), copies[0].schema), (1, migrations().len() as u32 + 1), "the newer database is kept as it was");
    assert_eq!(folder.set_aside(), 0);
}

#[test]
fn a_newer_agents_database_whose_way_back_fails_gives_way_to_the_copy_of_this_version() {
    let folder = Folder::new();
    folder.make("at the update");
    folder.back_up();
    let newer = folder.open().unwrap().connection;
    later(&newer, "DROP TABLE nowhere");
    set(&newer, "after it");
    drop(newer);
    let opened = folder.open().unwrap();
    let recovery = opened.recovery.unwrap();
    assert_eq!(recovery.outcome, Outcome::Restored);
    assert!(recovery.message.contains("cannot be taken back") && recovery.message.contains("is lost"), "{}", recovery.message);
    assert_eq!(value(&opened.connection).as_deref(), Some("at the update"));
    assert_eq!(folder.set_aside(), 1);
}

#[test]
fn a_version_that_was_only_misstated_is_put_right() {
    for wrong in [0, 99] {
        let folder = Folder::new();
        folder.make("kept");
        let connection = folder.open().unwrap().connection;
        connection.execute_batch(&format!("PRAGMA user_version = {wrong}")).unwrap();
        drop(connection);
        let opened = folder.open().unwrap();
        assert_eq!(opened.recovery.unwrap().outcome, Outcome::Reverted);
        assert_eq!(version(&opened.connection).unwrap() as usize, migrations().len());
        assert_eq!(value(&opened.connection).as_deref(), Some("kept"));
    }
}

#[test]
fn somebodys_text_is_refused_and_so_is_a_folder() {
    let folder = Folder::new();
    fs::write(folder.database(), "not a database, but longer than nothing").unwrap();
    assert!(folder.refused().contains("text file"));
    fs::remove_file(folder.database()).unwrap();
    fs::create_dir(folder.database()).unwrap();
    let error = folder.open().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("move it away"), "{error}");
}

/// Damages the file in one of several ways.
fn damage(path: &Path, how: &str) {
    let mut bytes = fs::read(path).unwrap();
    match how {
        "cut" => bytes.truncate(bytes.len() / 2),
        "nearly all cut" => bytes.truncate(7),
        "emptied" => bytes.clear(),
        "zeroed" => bytes[4096..8192].fill(0),
        "application" => bytes[68] ^= 1,
        "read-only by its header" => bytes[18] ^= 4,
        _ => bytes[..4096].fill(0xff),
    }
    fs::write(path, bytes).unwrap();
}

const DAMAGES: [&str; 7] =
    ["cut", "nearly all cut", "emptied", "zeroed", "application", "read-only by its header", "overwritten"];

#[test]
fn a_damaged_database_gives_way_to_the_newest_backup() {
    for how in DAMAGES {
        let folder = Folder::new();
        folder.make("old");
        folder.back_up();
        folder.make("new");
        folder.back_up();
        folder.make("newest");
        damage(&folder.database(), how);
        let opened = folder.open().unwrap();
        let recovery = opened.recovery.unwrap();
        assert_eq!((recovery.outcome, value(&opened.connection).as_deref()), (Outcome::Restored, Some("new")), "{how}");
        assert!(recovery.message.contains("000002"), "{}", recovery.message);
        assert_eq!(folder.set_aside(), usize::from(how != "emptied"), "{how}");
        drop(opened.connection);
        assert_eq!(folder.open().unwrap().recovery, None, "{how}: the second start is an ordinary one");
    }
}

#[test]
fn a_backup_that_is_damaged_itself_is_passed_over() {
    let folder = Folder::new();
    folder.make("old");
    folder.back_up();
    folder.make("new");
    folder.back_up();
    damage(Path::new(&backup::listed(&folder.place(), false).unwrap()[0].path), "zeroed");
    damage(&folder.database(), "zeroed");
    let opened = folder.open().unwrap();
    assert_eq!(value(&opened.connection).as_deref(), Some("old"));
}

#[test]
fn without_a_backup_it_is_begun_anew() {
    for how in DAMAGES.into_iter().filter(|how| *how != "emptied") {
        let folder = Folder::new();
        folder.make("lost");
        damage(&folder.database(), how);
        let opened = folder.open().unwrap();
        let recovery = opened.recovery.unwrap();
        assert_eq!((recovery.outcome, value(&opened.connection)), (Outcome::Rebuilt, None), "{how}");
        assert!(recovery.message.contains("damaged/000001"), "{}", recovery.message);
        drop(opened.connection);
        assert_eq!(folder.open().unwrap().recovery, None, "{how}");
    }
}

/// Rows that SQLite finds in order and the agent cannot read.
#[test]
fn rows_that_make_no_sense_are_damage_too() {
    let folder = Folder::new();
    folder.make("good");
    folder.back_up();
    let connection = folder.open().unwrap().connection;
    connection.execute("UPDATE value SET value = CAST(x'ff41' AS TEXT)", []).unwrap();
    drop(connection);
    let opened = folder.open().unwrap();
    assert_eq!(opened.recovery.unwrap().outcome, Outcome::Restored);
    assert_eq!(value(&opened.connection).as_deref(), Some("good"));
}

/// The log of the damaged file must not be replayed into the backup.
#[test]
fn a_log_goes_aside_with_its_database() {
    let folder = Folder::new();
    folder.make("old");
    folder.back_up();
    let connection = folder.open().unwrap().connection;
    set(&connection, "only in the log");
    kill(connection);
    assert!(fs::metadata(beside(&folder.database(), "-wal")).unwrap().len() > 0);
    damage(&folder.database(), "overwritten");
    let opened = folder.open().unwrap();
    assert_eq!(value(&opened.connection).as_deref(), Some("old"));
    let aside = recover::folders(&folder.place().damaged()).remove(0).1;
    assert!(fs::metadata(aside.join("database.sqlite-wal")).unwrap().len() > 0);
}

/// A cut between any two of the renames: the next start carries on.
#[test]
fn a_recovery_that_was_cut_off_is_carried_on() {
    let folder = Folder::new();
    folder.make("old");
    folder.back_up();
    damage(&folder.database(), "zeroed");
    // As it is after the log and the file went aside and before the backup came in.
    recover::set_aside(&folder.place(), "test", NOW).unwrap();
    fs::write(beside(&folder.database(), ".restoring"), "half of it").unwrap();
    let opened = folder.open().unwrap();
    assert_eq!((opened.recovery.unwrap().outcome, value(&opened.connection).as_deref()), (Outcome::Restored, Some("old")));
}

#[test]
fn a_copy_that_waits_is_put_in_and_the_replaced_file_kept() {
    let folder = Folder::new();
    folder.make("old");
    folder.back_up();
    folder.make("new");
    let copy = PathBuf::from(&backup::listed(&folder.place(), true).unwrap()[0].path);
    backup::fetch(&copy, &folder.place().waiting()).unwrap();
    let opened = folder.open().unwrap();
    assert_eq!(value(&opened.connection).as_deref(), Some("old"));
    assert!(opened.recovery.unwrap().message.contains("replaced by the copy"));
    assert_eq!(folder.set_aside(), 1);
    drop(opened.connection);
    fs::write(folder.place().waiting(), "half a copy").unwrap();
    let opened = folder.open().unwrap();
    assert_eq!((value(&opened.connection).as_deref(), opened.recovery), (Some("old"), None), "what does not pass is not put in");
    assert!(!folder.place().waiting().exists());
}

#[test]
fn what_fails_in_use_again_and_again_is_not_used_again() {
    let folder = Folder::new();
    folder.make("old");
    folder.back_up();
    fs::write(folder.place().suspect(), "!").unwrap();
    assert_eq!(folder.open().unwrap().recovery, None, "once: it is checked in full and used");
    fs::write(folder.place().suspect(), "!!").unwrap();
    assert_eq!(folder.open().unwrap().recovery.unwrap().outcome, Outcome::Restored);
    assert!(!folder.place().suspect().exists());
}

#[test]
fn an_interrupted_creation_and_left_over_logs_do_no_harm() {
    let folder = Folder::new();
    let opened = folder.open().unwrap();
    opened.connection.execute("INSERT INTO value VALUES ('old', 'log')", []).unwrap();
    kill(opened.connection);
    let log = fs::read(beside(&folder.database(), "-wal")).unwrap();
    assert!(!log.is_empty());
    fs::write(folder.database(), "").unwrap();
    fs::write(beside(&folder.database(), ".new"), "half").unwrap();
    fs::write(beside(&folder.database(), ".new-journal"), "half").unwrap();

    let opened = folder.open().unwrap();
    let rows: i64 = opened.connection.query_row("SELECT count(*) FROM value", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0, "a left-over log was replayed into a new database");
    let aside = recover::folders(&folder.place().damaged()).remove(0).1;
    assert_eq!(fs::read(aside.join("database.sqlite-wal")).unwrap(), log);
    assert!(!beside(&folder.database(), ".new").exists());
}

#[test]
fn a_database_that_others_could_read_is_closed_to_them() {
    let folder = Folder::new();
    drop(folder.open().unwrap());
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o644)).unwrap();
    drop(folder.open().unwrap());
    assert_eq!(fs::metadata(folder.database()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_database_elsewhere_gets_its_folder() {
    let folder = Folder::new();
    let path = folder.0.path().join("a/b/database.sqlite");
    drop(open(&Place::new(folder.0.path(), &path), NOW).unwrap());
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}
