//! Damage to the database and what surrounds it: every start ends restored, rebuilt or healthy, or says what is in the way
//! and carries on by itself once that is gone.
//!
//! Most damages are opened by the agent's own opening code in this process, a sample by the built binary. What a clock set
//! back to 1970 does is shown where the store is given the time (`store::backup`, `store::open`): no test may set a machine's.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fastrand::Rng;
use holdfast::store::{Change, Loaded, Outcome, SqliteStore, Store, StoreError, StoredTarget, Task};
use holdfast_plan::memory::{ImageRecord, Remember, Settled};
use serde_json::json;
use support::{App, Cloud, Device, Release, Service, check, long_run, unique, wait_for};

const SOURCE: &str = "https://api.example.com";
const UUID: &str = "0123456789abcdef0123456789abcdef";
const PAGE: usize = 4096;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn target(commit: &str) -> StoredTarget {
    let service = |n: usize| {
        let environment: BTreeMap<String, String> = (0..20).map(|v| (format!("NAME_{v}"), format!("value {n} {v}"))).collect();
        (
            format!("service{n}"),
            json!({ "image_id": n, "image": format!("r.example.com/v2/{n:032x}"), "environment": environment }),
        )
    };
    let services: BTreeMap<String, serde_json::Value> = (0..60).map(service).collect();
    let body =
        json!({ UUID: { "name": "device", "apps": { "app": { "id": 5, "releases": { commit: { "services": services } } } } } });
    StoredTarget { source: SOURCE.into(), uuid: UUID.into(), etag: Some(format!("W/\"{commit}\"")), body: body.to_string() }
}

fn key(n: u64) -> Change {
    Change::ApiKey {
        owner: Some((5, format!("service{n}"))),
        key: format!("{:016x}{n:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

fn image(n: u64) -> Change {
    let image = format!("r.example.com/v2/{n:032x}@sha256:{n:064x}").parse().unwrap();
    let engine_id = format!("sha256:{n:064x}");
    Change::Remember(Remember::Image(ImageRecord {
        image,
        engine_id,
        app_uuid: "app".into(),
        service: format!("service{n}"),
        size_bytes: n,
        pulled_ms: None,
    }))
}

fn settled(app: u64) -> Change {
    let document =
        json!({ "id": app, "services": (0..150).map(|n| json!({ "n": n, "text": "x".repeat(40) })).collect::<Vec<_>>() });
    let settled = Settled { app_id: app, commit: "c0ffee".into(), fingerprint: "f".into(), document };
    Change::Remember(Remember::Settle { app_uuid: format!("app{app}"), settled })
}

/// A database as a killed agent leaves it: a good part in the file, the last commits in its log.
struct Original {
    database: Vec<u8>,
    log: Vec<u8>,
    backup: (String, Vec<u8>),
    /// What the newest backup holds, and what the database itself.
    backed_up: Loaded,
    whole: Loaded,
}

impl Original {
    fn new() -> Original {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("database.sqlite");
        let store = SqliteStore::open(folder.path(), &database).unwrap();
        let mut first = vec![Change::Target(target("one"))];
        first.extend((0..40).map(key));
        first.extend((0..60).map(image));
        first.extend((0..20).map(settled));
        wait(store.commit(first)).unwrap();
        let made = wait(store.upkeep(Task::Backup { only_if_changed: false })).unwrap();
        let backed_up = wait(store.load(SOURCE, UUID)).unwrap();
        wait(store.commit(vec![Change::Target(target("two"))])).unwrap();
        wait(store.commit((60..80).map(image).collect())).unwrap();
        wait(store.commit((30..40).map(settled).collect())).unwrap();
        let backup = PathBuf::from(&made.backups[0].path);
        Original {
            database: std::fs::read(&database).unwrap(),
            log: std::fs::read(folder.path().join("database.sqlite-wal")).unwrap(),
            backup: (backup.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&backup).unwrap()),
            backed_up,
            whole: wait(store.load(SOURCE, UUID)).unwrap(),
        }
    }

    fn lay(&self, folder: &Path, database: &[u8], log: &[u8], with_backup: bool) {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("database.sqlite"), database).unwrap();
        std::fs::write(folder.join("database.sqlite-wal"), log).unwrap();
        if with_backup {
            std::fs::create_dir(folder.join("backups")).unwrap();
            std::fs::write(folder.join("backups").join(&self.backup.0), &self.backup.1).unwrap();
        }
    }
}

/// One way to damage a file.
fn damaged(bytes: &[u8], how: &str, at: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.min(bytes.len().saturating_sub(1));
    let end = (at + PAGE).min(bytes.len());
    match how {
        "cut off" => bytes.truncate(at + rng.usize(0..(end - at).max(1))),
        "bit flipped" => bytes[rng.usize(at..end)] ^= 1 << rng.u8(0..8),
        "zeroed" => bytes[at..end].fill(0),
        "header bit" => bytes[at] ^= 1 << rng.u8(0..8),
        "noise" => (0..rng.usize(1..200)).for_each(|_| bytes[rng.usize(at..end)] = rng.u8(..)),
        other => unreachable!("{other}"),
    }
    bytes
}

/// Every case: which file, how, where.
fn cases(original: &Original, rng: &mut Rng) -> Vec<(&'static str, &'static str, usize)> {
    let mut cases = Vec::new();
    let times = if long_run() { 12 } else { 1 };
    for (file, bytes) in [("database", &original.database), ("log", &original.log)] {
        let header = if file == "database" { 100 } else { 56 };
        let step = if long_run() { 1 } else { 3 };
        (0..header * times).step_by(step).for_each(|n| cases.push((file, "header bit", n % header)));
        for _ in 0..times {
            for page in 0..50.min(bytes.len() / PAGE) {
                let ways = ["cut off", "bit flipped", "zeroed"];
                // The log is read in one piece from its beginning: one way a page is enough there.
                let ways = if file == "log" && !long_run() { &ways[page % 3..=page % 3] } else { &ways[..] };
                ways.iter().for_each(|how| cases.push((file, *how, page * PAGE)));
            }
            for _ in 0..10 {
                let how = ["cut off", "bit flipped", "zeroed", "noise"][rng.usize(0..4)];
                cases.push((file, how, rng.usize(0..bytes.len())));
            }
        }
    }
    cases
}

#[test]
fn every_damage_ends_restored_rebuilt_or_healthy() {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5EED);
    let mut rng = Rng::with_seed(seed);
    let original = Original::new();
    // Memory, where there is one: what is measured is not the disk.
    let ground = tempfile::Builder::new().prefix("holdfast-damage-").tempdir_in(if Path::new("/dev/shm").is_dir() {
        "/dev/shm"
    } else {
        "/tmp"
    });
    let ground = ground.unwrap();
    let begin = Instant::now();
    let mut table: BTreeMap<(&str, &str, bool, &str), u32> = BTreeMap::new();
    let mut count: u32 = 0;
    for (file, how, at) in cases(&original, &mut rng) {
        // Each case with a backup and without one; the short run takes turns.
        let both = [true, false];
        let turn = usize::from(count % 2 == 1);
        let variants = if long_run() { &both[..] } else { &both[turn..=turn] };
        for with_backup in variants.iter().copied() {
            let (mut database, mut log) = (original.database.clone(), original.log.clone());
            let bytes = if file == "database" { &mut database } else { &mut log };
            *bytes = damaged(bytes, how, at, &mut rng);
            count += 1;
            let folder = ground.path().join(count.to_string());
            original.lay(&folder, &database, &log, with_backup);
            let case = format!("seed {seed}, case {count}: {file} {how} at {at}, with a backup: {with_backup}");
            let ended = ending(&folder, &original, with_backup, &case);
            *table.entry((file, how, with_backup, ended)).or_default() += 1;
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    println!("{}", shown(&table));
    println!("{count} cases in {:.1} s, seed {seed}: each one restored, rebuilt or healthy", begin.elapsed().as_secs_f32());
    assert!(count > 200, "{count}");
    let unnoticed: u32 = table.iter().filter(|((.., ended), _)| *ended == "changed unnoticed").map(|(_, count)| count).sum();
    // A changed letter inside a long text is what SQLite has no checksum against; keys are in an index, which has them twice.
    assert!(unnoticed * 4 < count, "{unnoticed} of {count}");
}

/// Opens the database of a folder. A test beside this one that starts a process holds every lock of this process too, for
/// the moment between fork and exec.
fn open(folder: &Path, case: &str) -> SqliteStore {
    let database = folder.join("database.sqlite");
    wait_for("the lock to be free", || match SqliteStore::open(folder, &database) {
        Err(held @ StoreError::Held { .. }) => Err(held.to_string()),
        other => Ok(other.unwrap_or_else(|error| panic!("{case}: {error}"))),
    })
}

/// Opens a case and tells how it ended; what must never be is a failure.
fn ending(folder: &Path, original: &Original, with_backup: bool, case: &str) -> &'static str {
    let store = open(folder, case);
    let outcome = store.recovery().map(|recovery| recovery.outcome);
    let loaded = wait(store.load(SOURCE, UUID)).unwrap_or_else(|error| panic!("{case}: {error}"));
    wait(store.commit(vec![Change::Value { name: "written".into(), value: Some("1".into()) }]))
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    drop(store);
    if with_backup {
        assert_eq!(loaded.api_keys, original.backed_up.api_keys, "{case}: API keys were lost though there is a backup");
    }
    let again = open(folder, &format!("{case}, second start"));
    assert_eq!(again.recovery(), None, "{case}: the second start is an ordinary one");
    match outcome {
        Some(Outcome::Restored) => {
            assert!(with_backup && loaded == original.backed_up, "{case}: what was restored is the backup");
            "restored"
        }
        Some(Outcome::Rebuilt) => {
            assert!(!with_backup && loaded == Loaded::default(), "{case}: begun anew though there is a backup, or not empty");
            "rebuilt"
        }
        Some(Outcome::Reverted) => "healthy",
        None if loaded == original.whole => "healthy",
        // The log ends where it is damaged, as after a power cut: what was stored until then.
        None if loaded.target == original.whole.target || loaded.target == original.backed_up.target => {
            if loaded.memory.images.len() < original.whole.memory.images.len()
                || loaded.memory.settled.len() < original.whole.memory.settled.len()
            {
                "healthy, log cut"
            } else {
                "changed unnoticed"
            }
        }
        None => "changed unnoticed",
    }
}

fn shown(table: &BTreeMap<(&str, &str, bool, &str), u32>) -> String {
    let mut text = format!("{:<10} {:<12} {:<10} {:<18} {:>6}\n", "FILE", "DAMAGE", "BACKUP", "ENDED", "CASES");
    for ((file, how, with_backup, ended), count) in table {
        let backup = if *with_backup { "yes" } else { "no" };
        let _ = writeln!(text, "{file:<10} {how:<12} {backup:<10} {ended:<18} {count:>6}");
    }
    text
}

/// A device that runs a release, with its cloud.
fn settled_device() -> (Device, Cloud, App, Release) {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("one").service("main", Service::new(&image).label("io.balena.features.supervisor-api", "1"));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    (device, cloud, app, release)
}

fn recovery(device: &Device) -> serde_json::Value {
    device.get("/v3/status").json()["database"]["recovery"].clone()
}

/// Overwrites the middle of the file.
fn spoil(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2 / PAGE * PAGE;
    bytes[middle..middle + PAGE].fill(0xA5);
    bytes[PAGE..2 * PAGE].fill(0xA5);
    std::fs::write(file, bytes).unwrap();
}

fn containers(device: &Device) -> Vec<String> {
    let state = device.get("/v2/state/status").json();
    state["containers"].as_array().unwrap().iter().map(|c| c["containerId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_damaged_file_found_at_the_start_gives_way_to_the_backup() {
    let (mut device, cloud, app, release) = settled_device();
    let backup = device.command(&["db", "backup"]);
    assert!(backup.code == 0 && backup.stdout.contains("database-000001-"), "{backup:?}");
    device.kill();
    spoil(&device.path("data/database.sqlite"));
    // The log holds everything that was written since the copy; without it the damage shows.
    let _ = std::fs::remove_file(device.path("data/database.sqlite-wal"));
    let seen = device.command(&["db", "check"]);
    assert!(seen.code == 1 && seen.stdout.contains("damaged") || seen.stdout.contains("cannot be read"), "{seen:?}");
    assert!(device.path("data/database.sqlite").exists(), "a check repairs nothing");
    device.start();
    assert_eq!(recovery(&device)["outcome"], "restored", "{}", recovery(&device));
    assert!(device.command(&["status"]).stdout.contains("was restored"), "a person is told");
    cloud.wait_settled(&app, &release);
    let list = device.command(&["db", "list"]);
    assert!(list.code == 0 && list.stdout.contains("good") && list.stdout.contains("damaged/000001-"), "{list:?}");
    assert_eq!(device.command(&["db", "check"]).code, 0);
}

#[test]
fn without_a_backup_the_running_agent_begins_anew_and_touches_no_container() {
    let (device, cloud, app, release) = settled_device();
    let before = containers(&device);
    assert_eq!(before.len(), 1);
    assert_eq!(device.command(&["db", "checkpoint"]).code, 0);
    spoil(&device.path("data/database.sqlite"));
    let seen = device.command(&["db", "check"]);
    assert!(seen.code == 1 && !seen.stdout.is_empty(), "{seen:?}");
    wait_for("the agent to have begun anew", || {
        let status = device.try_get("/v3/status").map_err(|error| error.to_string())?.json();
        check(status["database"]["recovery"]["outcome"] == "rebuilt", &status["database"])
    });
    device.wait_status(&[&release.commit, "settled"]);
    cloud.wait_settled(&app, &release);
    wait_for("the device to be settled", || {
        let status = device.get("/v3/status").json();
        check(status["phase"]["name"] == "settled", &status["phase"])
    });
    assert_eq!(containers(&device), before, "the same container goes on, with the key it was given");
    assert!(device.log().contains("begun anew"), "it is logged");
}

#[test]
fn commands_work_on_the_file_and_through_the_agent() {
    let (mut device, cloud, app, release) = settled_device();
    for running in [true, false] {
        if !running {
            device.stop();
        }
        for command in [
            &["db", "check"][..],
            &["db", "backup"],
            &["db", "list"],
            &["db", "vacuum"],
            &["db", "checkpoint"],
            &["db", "migrate"],
        ] {
            let answer = device.command(command);
            assert!(answer.code == 0 && !answer.stdout.is_empty(), "running {running}, {command:?}: {answer:?}");
            let json = device.command(&[command, &["--json"]].concat());
            let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
            assert_eq!(json["ok"], true, "{command:?}: {json}");
        }
        let missing = device.command(&["db", "restore", "database-000099-20260101T000000Z-v1.sqlite"]);
        assert!(missing.code == 1 && missing.stderr.contains("the database is as it was"), "{missing:?}");
    }
    // A restore without an agent, then one through it; each keeps the replaced file.
    let copies = |device: &Device| {
        let list: serde_json::Value = serde_json::from_str(&device.command(&["db", "list", "--json"]).stdout).unwrap();
        list["backups"].as_array().unwrap().iter().map(|b| b["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest = copies(&device).remove(0);
    let name = Path::new(&newest).file_name().unwrap().to_str().unwrap().to_owned();
    let restored = device.command(&["db", "restore", &newest]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(device.path("data/damaged").read_dir().unwrap().count() == 1, "the replaced file is kept");
    assert!(!device.path("data/database.sqlite.restore").exists());
    device.start();
    let restored = device.command(&["db", "restore", &name]);
    assert_eq!(restored.code, 0, "{restored:?}");
    wait_for("the agent to have put it in", || {
        let status = device.try_get("/v3/status").map_err(|error| error.to_string())?.json();
        let message = status["database"]["recovery"]["message"].to_string();
        check(message.contains("replaced by db restore"), message)
    });
    assert_eq!(device.path("data/damaged").read_dir().unwrap().count(), 2);
    cloud.wait_settled(&app, &release);
    let wrong = device.command(&["db", "check", "--data-dir", "/no/such/folder"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("--data-dir"), "{wrong:?}");
}

#[test]
fn backups_are_made_on_a_schedule_when_something_changed_and_kept_by_count() {
    let mut device = Device::simulated();
    device.set("HOLDFAST_BACKUP_INTERVAL", "1s");
    device.set("HOLDFAST_BACKUP_KEEP", "2");
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = |n: u32| Release::new(&format!("r{n}")).service("main", Service::new(&image).variable("N", &n.to_string()));
    cloud.want(&[(&app, &release(0))]);
    device.join(&cloud);
    let copies = || {
        let mut names: Vec<String> = std::fs::read_dir(device.path("data/backups"))
            .map(|folder| folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.retain(|name| name.ends_with(".sqlite"));
        names.sort();
        names
    };
    let mut last = String::new();
    for n in 1..5 {
        cloud.want(&[(&app, &release(n))]);
        cloud.wait_settled(&app, &release(n));
        wait_for("a backup of it", || check(copies().last().is_some_and(|name| *name > last), format!("{:?}", copies())));
        last = copies().last().unwrap().clone();
    }
    wait_for("the last changes to be in a backup", || {
        let before = copies();
        std::thread::sleep(std::time::Duration::from_secs(4));
        check(before == copies(), "backups go on")
    });
    assert_eq!(copies().len(), 2, "{:?}", copies());
}

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
