//! What is written comes back; what cannot be used is out of the way and harms nobody.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::telemetry::book::{Book, Latest};
use crate::telemetry::column::Row;
use crate::telemetry::ring::Ring;

const NOW_MS: i64 = 1_788_000_000_000;
const ROW: Row = [1, 5, 5, 1000, 1000, 7, 7, 0, 0, 0, 1];

fn book() -> Book {
    Book::new(Duration::from_secs(60), Duration::from_secs(30 * 86_400))
}

fn filled(minutes: i64) -> Book {
    let mut book = book();
    for minute in 0..minutes {
        for service in ["main", "db"] {
            let latest = Latest { row: Some(ROW), ..Latest::default() };
            book.add(NOW_MS + minute * 60_000, 5, service, latest);
        }
    }
    book
}

fn averages(book: &Book) -> Vec<(AppId, String, Option<Row>)> {
    let from = NOW_MS - 40 * 86_400_000;
    book.services().map(|(app, name, service)| (app, name.to_owned(), service.series.average(from, i64::MAX / 4))).collect()
}

fn read(file: &File) -> Result<Vec<Stored>, FileError> {
    let mut found = Vec::new();
    file.read(|stored| found.push(stored)).map(|()| found)
}

fn restored(mut book: Book, file: &File) -> Book {
    file.read(|stored| book.restore(stored)).unwrap();
    book
}

fn file() -> (File, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (File::new(folder.path().join("telemetry.sqlite")), folder)
}

#[test]
fn everything_comes_back_from_a_file_that_is_nobody_elses_to_read() {
    let (file, folder) = file();
    assert!(read(&file).unwrap().is_empty());
    let mut book = filled(100);
    file.write(&book.draft()).unwrap();
    let mode = fs::metadata(&file.path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, fs::read_dir(folder.path()).unwrap().count()), (0o600, 1));
    let back = restored(super::tests::book(), &file);
    assert_eq!(averages(&back), averages(&book));
    assert!(!back.is_changed() && averages(&back).len() == 2);
}

#[test]
fn only_what_changed_is_written_and_who_went_goes() {
    let (file, _folder) = file();
    let mut book = filled(2000);
    file.write(&book.draft()).unwrap();
    assert_eq!(book.draft(), Draft::default());
    book.add(NOW_MS + 2001 * 60_000, 5, "main", Latest { row: Some(ROW), ..Latest::default() });
    let draft = book.draft();
    let chunks: usize = draft.series.iter().flat_map(|series| &series.rings).map(|ring| ring.chunks.len()).sum();
    assert_eq!((draft.series.len(), chunks), (1, 3), "one piece of each ring of one service");
    file.write(&draft).unwrap();
    // Nobody is there any more, and two months pass.
    book.begin_look(NOW_MS + 62 * 86_400_000);
    book.begin_look(NOW_MS + 62 * 86_400_000);
    assert_eq!(book.services().count(), 0);
    file.write(&book.draft()).unwrap();
    assert!(read(&file).unwrap().is_empty());
}

#[test]
fn a_file_that_is_damaged_or_somebody_elses_is_set_aside() {
    let whole = {
        let (file, _folder) = file();
        file.write(&filled(500).draft()).unwrap();
        fs::read(&file.path).unwrap()
    };
    let torn = [&whole[..5000], &vec![0xA5; whole.len() - 5000]].concat();
    for content in [b"no database at all, but long enough to be looked at".repeat(50), torn, whole[..whole.len() / 2].to_vec()] {
        let (file, folder) = file();
        fs::write(&file.path, content).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains("begun anew"), "{error}");
        assert!(!file.exists() && folder.path().join("telemetry.sqlite.damaged").exists());
        let mut book = filled(3);
        file.write(&book.draft()).unwrap();
        assert_eq!(read(&file).unwrap().len(), 2);
    }
    let (file, _folder) = file();
    Connection::open(&file.path).unwrap().execute_batch("CREATE TABLE t (a); PRAGMA application_id = 7").unwrap();
    assert!(read(&file).unwrap_err().to_string().contains("application 7"));
}

#[test]
fn an_empty_file_is_begun_and_a_folder_in_its_place_is_said() {
    let (file, _folder) = file();
    fs::write(&file.path, "").unwrap();
    assert!(read(&file).unwrap().is_empty());
    let (file, _folder) = super::tests::file();
    fs::create_dir(&file.path).unwrap();
    assert!(read(&file).is_err() && file.write(&filled(3).draft()).is_err());
}

#[test]
fn other_settings_take_over_what_there_is() {
    let (file, _folder) = file();
    let mut before = filled(1000);
    file.write(&before.draft()).unwrap();
    let mut after = restored(Book::new(Duration::from_secs(30), Duration::from_secs(90 * 86_400)), &file);
    assert!(after.is_changed());
    assert_eq!(averages(&after).iter().map(|found| found.2.map(|row| row[1])).collect::<Vec<_>>(), [Some(5), Some(5)]);
    file.write(&after.draft()).unwrap();
    let again = restored(Book::new(Duration::from_secs(30), Duration::from_secs(90 * 86_400)), &file);
    assert_eq!(averages(&again), averages(&after));
}

#[test]
fn what_could_not_be_read_is_nobodys_later() {
    let (file, _folder) = file();
    file.write(&filled(2000).draft()).unwrap();
    // A look after the file could not be read: numbers are given anew, and a service may get another's.
    let mut book = book();
    book.all_changed();
    let row = Some([1, 9, 9, 9, 9, 9, 9, 0, 0, 0, 1]);
    for name in ["other", "more"] {
        book.add(NOW_MS + 1900 * 60_000, 6, name, Latest { row, ..Latest::default() });
    }
    file.write(&book.draft()).unwrap();
    let back = restored(super::tests::book(), &file);
    assert_eq!(averages(&back), averages(&book));
    assert!(averages(&back).iter().all(|found| found.0 == 6), "{:?}", averages(&back));
    // Not a row of those who had the numbers before, in however fine steps.
    let rows = |ring: &Ring| ring.steps().filter(|step| ring.row(*step).is_some()).count();
    for (_, name, service) in back.services() {
        assert_eq!(service.series.rings.iter().map(rows).collect::<Vec<_>>(), [1; TIERS], "{name}");
    }
    assert!(!book.draft().whole, "once is enough");
}
