use super::*;

const OLD: &[u8] = b"gpu_mem=16\n# \xe4\n";
const NEW: &[u8] = b"gpu_mem=64\n# \xe4\n";

struct Place {
    folder: tempfile::TempDir,
    journal: Journal,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mnt/boot")).unwrap();
        let journal = Journal { path: folder.path().join("boot-files.journal"), root: folder.path().to_owned() };
        Place { folder, journal }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mnt/boot/config.txt")
    }

    fn entry() -> Entry {
        Entry { files: vec![FileChange::new("config.txt", Some(OLD), Some(NEW))], reboot: None, restart: false }
    }

    /// The journal written, the file as a cut left it; what a start makes of it.
    fn after_cut(left: Option<&[u8]>) -> Option<Vec<u8>> {
        let place = Place::new();
        fs::write(place.file(), OLD).unwrap();
        place.journal.write(&Place::entry()).unwrap();
        match left {
            Some(bytes) => fs::write(place.file(), bytes).unwrap(),
            None => fs::remove_file(place.file()).unwrap(),
        }
        fs::write(place.folder.path().join("mnt/boot/config.txt.new"), b"half").unwrap();
        let entry = place.journal.pending().unwrap();
        assert_eq!(entry, Place::entry());
        place.journal.complete(&entry).unwrap();
        place.journal.finish();
        assert_eq!(place.journal.pending(), None);
        fs::read(place.file()).ok()
    }

    fn listed(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("mnt/boot")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn every_cut_ends_with_the_new_content() {
    for cut in 0..=NEW.len() {
        assert_eq!(Place::after_cut(Some(&NEW[..cut])).as_deref(), Some(NEW), "cut at {cut}");
        let padded = [&NEW[..cut], &[0; 20]].concat();
        assert_eq!(Place::after_cut(Some(&padded)).as_deref(), Some(NEW), "padded at {cut}");
    }
    for left in [None, Some(OLD), Some(NEW), Some(&[][..])] {
        assert_eq!(Place::after_cut(left).as_deref(), Some(NEW), "{left:?}");
    }
}

#[test]
fn a_persons_edit_stays() {
    assert_eq!(Place::after_cut(Some(b"gpu_mem=32\n")).as_deref(), Some(b"gpu_mem=32\n".as_slice()));
}

#[test]
fn files_are_made_and_removed_and_nothing_is_left_over() {
    let place = Place::new();
    let file = |before, after| FileChange::new("system-proxy/redsocks.conf", before, after);
    let write = |change| place.journal.write(&Entry { files: vec![change], reboot: None, restart: true });
    write(file(None, Some(b"x"))).unwrap();
    assert_eq!(place.journal.read("system-proxy/redsocks.conf").unwrap().as_deref(), Some(b"x".as_slice()));
    write(file(Some(b"x"), None)).unwrap();
    assert_eq!(place.journal.read("system-proxy/redsocks.conf").unwrap(), None);
    write(file(None, None)).unwrap();
    place.journal.finish();
    assert_eq!(place.listed(), ["system-proxy"]);
}

#[test]
fn what_cannot_be_begun_is_not_done_later() {
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    let change = FileChange::new("config.txt", None, Some(NEW));
    assert!(place.journal.write(&Entry { files: vec![change], reboot: None, restart: false }).is_err());
    fs::remove_dir_all(place.folder.path().join("mnt/boot")).unwrap();
    let error =
        place.journal.write(&Entry { files: vec![FileChange::new("config.txt", None, Some(NEW))], reboot: None, restart: false });
    assert!(error.unwrap_err().to_string().contains("not mounted"));
    assert_eq!(place.journal.pending(), None);
}

#[test]
fn a_damaged_journal_is_dropped() {
    let place = Place::new();
    fs::write(place.file(), OLD).unwrap();
    place.journal.write(&Place::entry()).unwrap();
    let text = fs::read_to_string(&place.journal.path).unwrap();
    fs::write(&place.journal.path, text.replace("64", "99")).unwrap();
    assert_eq!(place.journal.pending(), None);
    assert!(!place.journal.path.exists());
}
