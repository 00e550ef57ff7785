//! What lies in the way of the database: said, left as it is, and passed as soon as it is gone.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast::store::SqliteStore;
use serde_json::json;

use super::{recovery, spoil};
use crate::support::{Device, check, unique, wait_for};

/// What keeps the agent from its database, and the words it says then.
fn refused(device: &mut Device, words: &[&str]) {
    device.spawn();
    wait_for(&format!("the log to say {words:?}"), || {
        let log = device.log();
        check(words.iter().all(|word| log.contains(word)), log.lines().last().unwrap_or_default())
    });
    assert!(device.log().contains("containers go on, tried again every 5 s"));
}

fn ready(device: &Device) {
    wait_for("the agent to go on by itself", || {
        let answer = device.try_get("/v3/status").map_err(|error| error.to_string())?.json();
        check(answer["database"]["open"] == true, answer)
    });
}

#[test]
fn what_is_in_the_way_is_said_and_left_as_it_is_until_it_is_gone() {
    type InTheWay = (&'static str, fn(&Path), &'static [&'static str]);
    let ways: [InTheWay; 3] = [
        ("a folder", |file| std::fs::create_dir(file).unwrap(), &["move it away"]),
        (
            "another application's database",
            |file| {
                rusqlite::Connection::open(file).unwrap().execute_batch("PRAGMA application_id = 77; CREATE TABLE t (x)").unwrap()
            },
            &["another application's database", "0x0000004d", "name another file"],
        ),
        (
            "a future schema",
            |file| {
                drop(SqliteStore::open(file.parent().unwrap(), file).unwrap());
                let later = "CREATE TABLE later (x); PRAGMA user_version = 99;";
                rusqlite::Connection::open(file).unwrap().execute_batch(later).unwrap();
            },
            &["schema version 99", "start the newer agent"],
        ),
    ];
    for (what, lay, words) in ways {
        let mut device = Device::simulated();
        device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid }));
        let file = device.path("data/database.sqlite");
        std::fs::create_dir_all(device.path("data")).unwrap();
        lay(&file);
        let content = || std::fs::read(&file).ok();
        let before = content();
        refused(&mut device, words);
        assert_eq!(content(), before, "{what} was touched");
        assert!(!device.path("data/damaged").exists(), "{what} was set aside");
        std::fs::rename(&file, device.path("away")).unwrap();
        ready(&device);
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: mounting takes root");
    }
    root
}

/// A small file system at a path. Dropping it takes it away.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: PathBuf, options: &str) -> Option<Mount> {
        std::fs::create_dir_all(&at).unwrap();
        let name = format!("holdfast-{}", unique());
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, &name]).arg(&at).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Mount(at))
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(status.success(), "remount,{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_partition_is_said_and_the_agent_goes_on_by_itself() {
    if !is_root() {
        return;
    }
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid }));
    let Some(_mount) = Mount::tmpfs(device.path("data"), "size=2m,mode=0700") else { return };
    let filler = device.path("data/filler");
    let fill = || {
        let _ = std::fs::write(&filler, vec![1; 4 << 20]);
    };
    fill();
    refused(&mut device, &["free some space"]);
    std::fs::remove_file(&filler).unwrap();
    ready(&device);

    // Full while it runs, with a damaged file at the next start: nothing is thrown away before its substitute is there.
    assert_eq!(device.command(&["db", "backup"]).code, 0);
    device.stop();
    spoil(&device.path("data/database.sqlite"));
    let damaged = std::fs::read(device.path("data/database.sqlite")).unwrap();
    fill();
    device.spawn();
    // The file system does not even give room for the index of the log; SQLite calls that an error of the disk.
    let said = |log: &str| log.matches("free some space").count() >= 2 || log.contains("whether it is full");
    wait_for("the log to say that there is no room", || check(said(&device.log()), device.log()));
    assert_eq!(std::fs::read(device.path("data/database.sqlite")).unwrap(), damaged, "it stays until the backup is ready");
    std::fs::remove_file(&filler).unwrap();
    ready(&device);
    assert_eq!(recovery(&device)["outcome"], "restored");
}

#[test]
fn a_read_only_partition_is_said_and_the_agent_goes_on_by_itself() {
    if !is_root() {
        return;
    }
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid }));
    let Some(mount) = Mount::tmpfs(device.path("data"), "size=8m,mode=0700") else { return };
    device.start();
    device.stop();
    mount.remount("ro");
    refused(&mut device, &["read-only"]);
    mount.remount("rw");
    ready(&device);
}

#[test]
fn a_folder_of_somebody_else_is_said_and_the_agent_goes_on_by_itself() {
    if !is_root() {
        return;
    }
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid }));
    std::fs::create_dir(device.path("data")).unwrap();
    let chmod =
        |name: &str, mode: &str| assert!(Command::new("chmod").arg(mode).arg(device.path(name)).status().unwrap().success());
    chmod("", "0777");
    chmod("data", "0700");
    device.start_through(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let beside = device.path("data");
    refused(&mut device, &["belongs to the user the agent runs as"]);
    assert!(Command::new("chown").arg("65534").arg(beside).status().unwrap().success());
    ready(&device);
}
