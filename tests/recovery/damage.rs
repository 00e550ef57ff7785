//! Every page, the header and the log of a real database damaged, each case opened by the agent's own code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fastrand::Rng;
use holdfast::store::{Change, Loaded, Outcome, SqliteStore, Store, StoreError, StoredTarget, Task};
use holdfast_plan::memory::{ImageRecord, Remember, Settled};
use serde_json::json;

use super::PAGE;
use crate::support::{long_run, wait_for};

const SOURCE: &str = "https://api.example.com";
const UUID: &str = "0123456789abcdef0123456789abcdef";

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
        None if log_was_cut(&loaded, original) => "healthy, log cut",
        None => "changed unnoticed",
    }
}

/// The log ends where it is damaged, as after a power cut: what was stored until then is there.
fn log_was_cut(loaded: &Loaded, original: &Original) -> bool {
    let (now, whole) = (&loaded.memory, &original.whole.memory);
    let known = loaded.target == original.whole.target || loaded.target == original.backed_up.target;
    known && (now.images.len() < whole.images.len() || now.settled.len() < whole.settled.len())
}

fn shown(table: &BTreeMap<(&str, &str, bool, &str), u32>) -> String {
    let mut text = format!("{:<10} {:<12} {:<10} {:<18} {:>6}\n", "FILE", "DAMAGE", "BACKUP", "ENDED", "CASES");
    for ((file, how, with_backup, ended), count) in table {
        let backup = if *with_backup { "yes" } else { "no" };
        let _ = writeln!(text, "{file:<10} {how:<12} {backup:<10} {ended:<18} {count:>6}");
    }
    text
}
