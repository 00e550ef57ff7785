//! A backup is one: whole, the same as the database, named by what it is.

use super::super::open::open;
use super::*;

const NOW: Now = Now { wall_ms: Some(1_788_000_000_000), machine_ms: 1_788_000_000_000, boot_ms: 0 };

struct Ground {
    place: Place,
    _folder: tempfile::TempDir,
}

fn ground() -> Ground {
    let folder = tempfile::tempdir().unwrap();
    Ground { place: Place::new(folder.path(), &folder.path().join("database.sqlite")), _folder: folder }
}

fn set(connection: &Connection, value: &str) {
    let sql = "INSERT INTO value VALUES ('n', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.execute(sql, [value]).unwrap();
}

#[test]
fn a_backup_holds_what_the_database_holds_and_is_one_file() {
    use std::os::unix::fs::PermissionsExt;
    let ground = ground();
    let connection = open(&ground.place, NOW).unwrap().connection;
    set(&connection, "1");
    let (made, new) = make(&connection, &ground.place, true, NOW).unwrap();
    let schema = migrations().len() as u32;
    let path = ground.place.backups().join(format!("database-000001-20260829T104000Z-v{schema}.sqlite"));
    assert_eq!((made.path.as_str(), made.schema, made.verified, new), (path.to_str().unwrap(), schema, true, true));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(ground.place.backups()).unwrap().count(), 1, "no log, no journal beside it");
    let copied = connect_to_read(&path).unwrap();
    assert_eq!(integrity::fingerprint(&copied).unwrap(), integrity::fingerprint(&connection).unwrap());
    assert_eq!(listed(&ground.place, false).unwrap(), vec![made.clone()]);
    assert_eq!(listed(&ground.place, true).unwrap(), vec![made]);
}

#[test]
fn nothing_changed_is_no_new_backup_and_a_damaged_one_does_not_count() {
    let ground = ground();
    let connection = open(&ground.place, NOW).unwrap().connection;
    let again = |only_if_changed| make(&connection, &ground.place, only_if_changed, NOW).unwrap().1;
    assert!(again(true));
    assert!(!again(true));
    assert!(again(false), "asked for by name");
    set(&connection, "2");
    assert!(again(true));
    let newest = listed(&ground.place, true).unwrap().remove(0);
    let bytes = fs::read(&newest.path).unwrap();
    fs::write(&newest.path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(!listed(&ground.place, false).unwrap()[0].verified);
    assert!(again(true), "half a copy is none");
    assert_eq!(listed(&ground.place, true).unwrap().len(), 4);
}

#[test]
fn the_log_is_in_the_database_once_a_backup_was_made() {
    let ground = ground();
    let connection = open(&ground.place, NOW).unwrap().connection;
    set(&connection, "3");
    assert!(fs::metadata(beside(&ground.place.database, "-wal")).unwrap().len() > 0);
    make(&connection, &ground.place, true, NOW).unwrap();
    assert_eq!(fs::metadata(beside(&ground.place.database, "-wal")).unwrap().len(), 0);
}

#[test]
fn a_clock_that_says_1970_gives_names_in_the_right_order() {
    let ground = ground();
    let connection = open(&ground.place, NOW).unwrap().connection;
    set(&connection, "4");
    make(&connection, &ground.place, true, NOW).unwrap();
    set(&connection, "5");
    let lost = Now { wall_ms: None, machine_ms: 61_000, boot_ms: 0 };
    let (made, _) = make(&connection, &ground.place, true, lost).unwrap();
    assert!(made.path.contains("database-000002-19700101T000101Z-v"), "{}", made.path);
    assert_eq!(made.taken_ms, None);
    assert_eq!(listed(&ground.place, true).unwrap()[0], made, "the newest is the one with the highest number");
}

#[test]
fn what_is_damaged_or_not_ours_does_not_pass() {
    let ground = ground();
    let connection = open(&ground.place, NOW).unwrap().connection;
    let (made, _) = make(&connection, &ground.place, true, NOW).unwrap();
    let whole = fs::read(&made.path).unwrap();
    assert_eq!(verify(Path::new(&made.path)), Ok(migrations().len() as u32));
    for (what, at) in [("magic", 3), ("page size", 17), ("application", 70), ("schema version", 63), ("schema", whole.len() / 2)]
    {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        if what == "schema" {
            bytes[4096..8192].fill(7);
        }
        fs::write(&made.path, bytes).unwrap();
        assert!(verify(Path::new(&made.path)).is_err(), "{what}");
    }
    assert!(verify(Path::new("/nowhere")).unwrap_err().contains("not there"));
}
