//! Every state in which a power cut or a person can leave the two files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;

use super::*;

const OLD: &str =
    "{\n  \"uuid\": \"00112233445566778899aabbccddeeff\",\n  \"os\": { \"sshKeys\": [ \"a\" ] },\n  \"listenPort\": 1\n}\n";

struct Device {
    _folder: tempfile::TempDir,
    file: ConfigFile,
}

impl Device {
    fn new(config: Option<&str>) -> Device {
        let folder = tempfile::tempdir().unwrap();
        for name in ["boot", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let file = ConfigFile::new(&folder.path().join("boot/config.json"), &folder.path().join("data"));
        let device = Device { _folder: folder, file };
        if let Some(text) = config {
            device.put(text.as_bytes());
        }
        device
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(&self.file.path, bytes).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file.path).unwrap()
    }

    fn copy(&self) -> GoodCopy {
        GoodCopy::read(&self.file.good_path, &self.file.path).unwrap()
    }

    fn put_copy(&self, content: &str, replaces: Option<Replaced>) {
        GoodCopy { content: content.into(), replaces }.write(&self.file.good_path, &self.file.path).unwrap();
    }

    fn port(&self) -> Option<u64> {
        self.file.read().document.get("listenPort").and_then(|port| port.as_u64())
    }

    /// What tells a file that was written again: inode and change time.
    fn marks(&self) -> Vec<(u64, i64, i64)> {
        let marks = |path: &Path| fs::metadata(path).map(|m| (m.ino(), m.ctime(), m.ctime_nsec())).unwrap_or_default();
        vec![marks(&self.file.path), marks(&self.file.good_path)]
    }

    fn assert_at_rest(&self, text: &str) {
        assert_eq!(self.text(), text);
        assert!(self.copy() == GoodCopy { content: text.into(), replaces: None });
        let marks = self.marks();
        assert_eq!(self.file.settle(), []);
        assert_eq!(self.marks(), marks, "something was written although nothing changed");
    }
}

#[test]
fn a_good_file_gets_a_copy_once() {
    let device = Device::new(Some(OLD));
    assert_eq!(device.file.settle(), []);
    device.assert_at_rest(OLD);
    assert_eq!(fs::metadata(&device.file.good_path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn no_file_and_no_copy_is_an_unmanaged_device() {
    let device = Device::new(None);
    let read = device.file.read();
    assert!(read.faults.is_empty() && read.document.to_text() == "{}\n");
    assert_eq!(device.file.settle(), []);
    assert!(!device.file.path.exists() && !device.file.good_path.exists());
}

#[test]
fn a_rewrite_keeps_what_it_does_not_change() {
    let device = Device::new(Some(OLD));
    let changes = [("deviceId", Some(json!(7))), ("listenPort", Some(json!(2))), ("apiKey", None)];
    assert_eq!(device.file.rewrite(&changes), Ok(true));
    let expected = "{\n  \"uuid\": \"00112233445566778899aabbccddeeff\",\n  \"os\": { \"sshKeys\": [ \"a\" ] },\n  \
                    \"listenPort\": 2,\n  \"deviceId\": 7\n}\n";
    device.assert_at_rest(expected);
    let marks = device.marks();
    assert_eq!(device.file.rewrite(&changes), Ok(false));
    assert_eq!(device.marks(), marks);
}

#[test]
fn a_rewrite_refuses_values_that_would_not_be_read_again() {
    let device = Device::new(Some(OLD));
    let error = device.file.rewrite(&[("uuid", Some(json!("ab")))]).unwrap_err();
    assert!(error.to_string().contains("config.json, key uuid"), "{error}");
    assert_eq!(device.text(), OLD);
}

#[test]
fn a_rewrite_makes_a_file_where_there_was_none() {
    let device = Device::new(None);
    assert_eq!(device.file.rewrite(&[("deviceType", Some(json!("ab")))]), Ok(true));
    device.assert_at_rest("{\n  \"deviceType\": \"ab\"\n}\n");
    assert_eq!(fs::metadata(&device.file.path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// A cut at any byte of step 2, with what FAT makes of it, for every state of step 1 and 3.
#[test]
fn a_cut_during_a_rewrite_ends_in_the_new_content() {
    let new = OLD.replace("\"listenPort\": 1", "\"listenPort\": 2");
    let mut torn: Vec<Option<Vec<u8>>> =
        vec![None, Some(OLD.into()), Some(new.clone().into()), Some(b"stale clusters {".to_vec())];
    for end in 0..new.len() {
        torn.push(Some(new.as_bytes()[..end].to_vec()));
        torn.push(Some([&new.as_bytes()[..end], &[0; 512]].concat()));
        torn.push(Some([&new.as_bytes()[..end], &OLD.as_bytes()[end..]].concat()));
    }
    for state in torn {
        let device = Device::new(None);
        device.put_copy(&new, Some(Replaced::Content(sha256(OLD.as_bytes()))));
        if let Some(bytes) = &state {
            device.put(bytes);
        }
        let shown = state.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(device.port(), Some(2), "{shown:?}");
        assert_eq!(device.file.settle(), [], "{shown:?}");
        assert_eq!(device.port(), Some(2), "{shown:?}");
        // Only the line feed at the end may be missing: such a file is whole.
        assert_eq!(device.text().trim_end(), new.trim_end());
        device.assert_at_rest(&device.text());
    }
}

#[test]
fn a_cut_while_the_copy_is_written_leaves_the_old_state() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    let temporary = whole_file::temporary_name(&device.file.good_path);
    fs::write(&temporary, b"{\"form\":1,").unwrap();
    fs::write(whole_file::temporary_name(&device.file.path), b"{").unwrap();
    device.assert_at_rest(OLD);
    assert_eq!(device.file.rewrite(&[("listenPort", Some(json!(3)))]), Ok(true));
    assert!(!temporary.exists());
}

/// The file was fine and nobody was writing: flash or a forced unplug took it.
#[test]
fn a_torn_file_is_restored_and_reported() {
    for torn in [None, Some(""), Some("\0\0\0\0"), Some("\n"), Some(&OLD[..20]), Some(&OLD[..OLD.len() - 2])] {
        let device = Device::new(Some(OLD));
        device.file.settle();
        match torn {
            Some(text) => device.put(text.as_bytes()),
            None => fs::remove_file(&device.file.path).unwrap(),
        }
        let faults = device.file.read().faults;
        assert_eq!(faults.len(), 1, "{torn:?}");
        assert!(faults[0].message.contains("written back"), "{}", faults[0]);
        assert_eq!(device.port(), Some(1));
        assert_eq!(device.file.settle(), []);
        assert!(device.file.read().faults.is_empty());
        device.assert_at_rest(OLD);
    }
}

#[test]
fn a_typing_mistake_is_left_to_its_author() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    let typo = OLD.replace("\"listenPort\": 1", "\"listenPort\": 5,");
    device.put(typo.as_bytes());
    let faults = device.file.read().faults;
    assert!(faults[0].message.contains("until it is mended") && faults[0].message.contains("line 5"), "{}", faults[0]);
    assert_eq!(device.port(), Some(1));
    assert_eq!(device.file.settle(), []);
    assert_eq!(device.text(), typo);
    assert!(device.copy().content == OLD.as_bytes());
}

#[test]
fn a_persons_file_wins_over_any_copy() {
    let edited = OLD.replace("\"listenPort\": 1", "\"listenPort\": 9");
    for replaces in [None, Some(Replaced::Missing), Some(Replaced::Content(sha256(OLD.as_bytes())))] {
        let device = Device::new(Some(&edited));
        device.put_copy(&OLD.replace(": 1", ": 2"), replaces);
        assert_eq!(device.port(), Some(9));
        assert_eq!(device.file.settle(), []);
        device.assert_at_rest(&edited);
    }
    // The very file of before, put back after a rewrite that ended, is a person's too.
    let device = Device::new(Some(OLD));
    device.file.rewrite(&[("listenPort", Some(json!(2)))]).unwrap();
    device.put(OLD.as_bytes());
    assert_eq!(device.port(), Some(1));
    device.file.settle();
    device.assert_at_rest(OLD);
}

#[test]
fn the_copy_keeps_good_values_where_the_file_has_bad_ones() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    let bad = OLD.replace("\"listenPort\": 1", "\"listenPort\": 99999999, \"deviceId\": 5");
    device.put(bad.as_bytes());
    assert_eq!(device.file.settle(), []);
    let kept = Document::parse(&device.copy().content).unwrap();
    assert_eq!((kept.get("listenPort"), kept.get("deviceId")), (Some(json!(1)), Some(json!(5))));
    let marks = device.marks();
    device.file.settle();
    assert_eq!((device.marks(), device.text()), (marks, bad));
}

#[test]
fn a_rewrite_over_a_damaged_text_sets_it_aside() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    device.put(b"{ \"uuid\": oops");
    assert_eq!(device.file.rewrite(&[("listenPort", Some(json!(2)))]), Ok(true));
    device.assert_at_rest(&OLD.replace("\"listenPort\": 1", "\"listenPort\": 2"));
    let aside = device.file.good_path.with_extension("damaged");
    assert_eq!(fs::read(aside).unwrap(), b"{ \"uuid\": oops");
}

#[test]
fn a_file_that_cannot_be_written_keeps_the_change_for_later() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    // A folder in the place of the temporary file stops the replacement for root too.
    let in_the_way = whole_file::temporary_name(&device.file.path);
    fs::create_dir(&in_the_way).unwrap();
    let error = device.file.rewrite(&[("listenPort", Some(json!(2)))]).unwrap_err();
    assert!(error.to_string().contains("the change is kept in"), "{error}");
    assert_eq!((device.text().as_str(), device.port()), (OLD, Some(2)));
    assert_eq!(device.file.settle().len(), 1);
    assert!(device.file.rewrite(&[("deviceId", Some(json!(4)))]).is_err());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(device.file.settle(), []);
    assert_eq!(device.file.read().document.get("deviceId"), Some(json!(4)), "the second change stands on the first");
    device.assert_at_rest(&device.text());
}

#[test]
fn what_cannot_be_read_is_said_and_not_overwritten() {
    let device = Device::new(Some(OLD));
    device.file.settle();
    fs::remove_file(&device.file.path).unwrap();
    fs::create_dir(&device.file.path).unwrap();
    assert!(device.file.read().faults[0].message.contains("cannot be used"));
    assert_eq!(device.port(), Some(1));
    assert!(device.file.rewrite(&[("listenPort", Some(json!(2)))]).is_err());
    assert_eq!(device.file.settle(), []);
    assert!(device.file.path.is_dir());

    let large = Device::new(Some(&format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024))));
    assert!(large.file.read().faults[0].message.contains("larger than"));
}
