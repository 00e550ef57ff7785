//! Power cuts: strace writes down what the agent does to its data directory during target changes, a backup and a
//! migration; from that the files are rebuilt as a cut at any point may leave them, and the agent's opening code opens them.
//!
//! What must hold: it opens without any recovery; the target is the last the agent spoke of or the one after it; a backup it
//! has named is there, and whatever is called a backup passes its check. `HOLDFAST_TEST_SEED` repeats the choice of cuts.

mod disk;
mod trace;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::{Cloud, Device, Series, binary, check, long_run, wait_for};
use disk::{Disk, Files, Left, WAYS};
use fastrand::Rng;
use holdfast::store::{SqliteStore, Store, StoreError};
use rusqlite::{Connection, OpenFlags};
use trace::Event;

/// How many states are opened in the short run, and which of them by a process of its own.
const OPENED: usize = 700;
const BY_BINARY: usize = 100;

/// What was done, and what the agent had said by when.
struct Recording {
    disk: Disk,
    series: Series,
    /// Where the agent kept them: what the target is filed under.
    source: String,
    uuid: String,
    /// From which operation on the agent had spoken of a target, by number.
    targets: Vec<usize>,
    /// The same of backups, by their paths in the data directory.
    backups: Vec<(usize, PathBuf)>,
}

/// Strace, unless it cannot be had: then nothing can be shown here, which in CI is a failure.
fn strace_works() -> bool {
    let works =
        Command::new("strace").args(["-D", "-f", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    assert!(works || std::env::var("CI").as_deref() != Ok("true"), "strace is missing or may not trace");
    if !works {
        println!("skipped: strace is missing or may not trace (package strace)");
    }
    works
}

/// A device's first start, changes, a backup, the way back to schema version 1, a start that migrates, a change, a kill.
fn record() -> Recording {
    let mut device = Device::simulated();
    let log = device.path("strace.log");
    let mut program: Vec<OsString> =
        ["strace", "-D", "-f", "-y", "-xx", "-s", "10000000", "-A", "-e", trace::CALLS, "-o"].map(OsString::from).to_vec();
    program.extend([log.clone().into_os_string(), binary()]);
    device = device.running(program);
    let cloud = Cloud::of(&device);
    let mut series = Series::of(&device);
    let change = |device: &Device, series: &mut Series| {
        series.next(&cloud);
        assert_eq!(device.post("/v1/update", &serde_json::json!({})).status, 204);
        series.wait_settled(device);
    };
    series.next(&cloud);
    device.join(&cloud);
    series.wait_settled(&device);
    (0..3).for_each(|_| change(&device, &mut series));
    assert_eq!(device.post("/v3/db/backup", &serde_json::Value::Null).status, 200);
    change(&device, &mut series);
    device.stop();
    let text = ended(&log);
    let back = device.command(&["db", "migrate", "--to", "1"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert!(ended(&log).len() > text.len());
    series.next(&cloud);
    device.start();
    series.wait_settled(&device);
    change(&device, &mut series);
    device.kill();
    replay(&ended(&log), &device, &cloud, series)
}

/// The log, once everything that was traced has ended.
fn ended(log: &Path) -> String {
    wait_for("strace to be done", || {
        let text = std::fs::read_to_string(log).unwrap();
        let process = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let (mut seen, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            let over = line.contains(" +++ exited with ") || line.contains(" +++ killed by ");
            if over {
                gone.insert(process(line))
            } else {
                seen.insert(process(line))
            };
        }
        check(seen.is_subset(&gone), "some still run").map(|()| text)
    })
}

fn replay(log: &str, device: &Device, cloud: &Cloud, series: Series) -> Recording {
    let data = device.path("data").canonicalize().unwrap();
    let mut disk = Disk::default();
    let (mut targets, mut backups) = (BTreeMap::new(), BTreeMap::new());
    for event in trace::read(log, &data) {
        disk.apply(&event);
        let Event::Said(words) = event else { continue };
        let words = String::from_utf8_lossy(&words);
        (0..=series.newest()).filter(|number| words.contains(series.commit(*number))).for_each(|number| {
            targets.entry(number).or_insert(disk.operations);
        });
        for path in words.split("/backups/").skip(1) {
            let name = path.split_inclusive(".sqlite").next().unwrap();
            backups.entry(Path::new("backups").join(name)).or_insert(disk.operations);
        }
    }
    assert_eq!(targets.len(), series.newest() + 1, "the agent spoke of every target");
    assert!(backups.len() >= 2, "and of the backups: {backups:?}");
    let whole = disk.after(disk.operations, Left::All, true, &mut Rng::with_seed(0));
    assert_eq!(whole, files_of(&data), "what was written down makes the files that are there");
    Recording {
        disk,
        series,
        source: cloud.url(),
        uuid: device.uuid.clone(),
        targets: targets.into_values().collect(),
        backups: backups.into_iter().map(|(path, at)| (at, path)).collect(),
    }
}

fn files_of(folder: &Path) -> Files {
    let mut found = Files { files: BTreeMap::new(), folders: BTreeSet::new() };
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_dir() {
                found.folders.insert(name);
                todo.push(path);
            } else if !path.to_string_lossy().ends_with("-shm") {
                found.files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A cut: after how many operations, what is left of contents, and whether all names are.
type Cut = (usize, Left, bool);

/// What was seen, by the target a cut ended in: none, the one spoken of, the next one.
#[derive(Default)]
struct Seen {
    states: Mutex<HashSet<u64>>,
    opened: AtomicUsize,
    cuts: Mutex<BTreeMap<(Left, bool, &'static str), usize>>,
    points: Mutex<BTreeSet<usize>>,
}

#[test]
fn a_power_cut_at_any_point_leaves_the_old_target_or_the_new_one() {
    if !strace_works() {
        return;
    }
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("HOLDFAST_TEST_SEED={seed}");
    let recording = record();
    let operations = recording.disk.operations;
    let mut cuts: Vec<Cut> =
        (0..=operations).flat_map(|cut| WAYS.map(|left| [(cut, left, true), (cut, left, false)])).flatten().collect();
    Rng::with_seed(seed).shuffle(&mut cuts);
    let limit = if long_run() { usize::MAX } else { OPENED };
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let ground = tempfile::Builder::new().prefix("holdfast-cut-").tempdir_in(memory).unwrap();
    let (seen, next, begin) = (Seen::default(), AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while seen.opened.load(Ordering::Relaxed) < limit
                    && let Some(cut) = cuts.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    recording.try_cut(*cut, seed, ground.path(), &seen);
                }
            });
        }
    });
    let (opened, points) = (seen.opened.into_inner(), seen.points.into_inner().unwrap().len());
    println!("{:<9} {:<8} {:<16} {:>6}", "CONTENTS", "NAMES", "TARGET", "CUTS");
    for ((left, names, target), count) in seen.cuts.into_inner().unwrap() {
        println!("{:<9} {:<8} {target:<16} {count:>6}", format!("{left:?}"), if names { "all" } else { "synced" });
    }
    println!(
        "{} cuts at {points} of {} points, {opened} different states opened in {:.0} s: each with the target before or after",
        next.into_inner().min(cuts.len()),
        operations + 1,
        begin.elapsed().as_secs_f32()
    );
    assert!(opened >= limit.min(300), "{opened}");
}

impl Recording {
    /// Rebuilds the files of a cut and opens them, unless the same were opened already.
    fn try_cut(&self, cut: Cut, seed: u64, ground: &Path, seen: &Seen) {
        let (at, left, all_names) = cut;
        let mut rng = Rng::with_seed(seed ^ at as u64);
        let files = self.disk.after(at, left, all_names, &mut rng);
        let spoken = self.targets.iter().filter(|since| **since <= at).count();
        seen.points.lock().unwrap().insert(at);
        let mut hash = DefaultHasher::new();
        (&files, spoken).hash(&mut hash);
        if !seen.states.lock().unwrap().insert(hash.finish()) {
            *seen.cuts.lock().unwrap().entry((left, all_names, "as another's")).or_default() += 1;
            return;
        }
        let number = seen.opened.fetch_add(1, Ordering::Relaxed);
        let folder = ground.join(number.to_string());
        let case = format!("seed {seed}, cut {cut:?} of {}", self.disk.operations);
        lay(&files, &folder);
        self.look_at_backups(at, &folder, &case);
        if number % BY_BINARY == BY_BINARY / 2 && files.files.contains_key(Path::new("database.sqlite")) {
            let opens = Command::new(binary()).args(["db", "migrate", "--data-dir"]).arg(&folder).output().unwrap();
            assert!(opens.status.success(), "{case}: {opens:?}");
        }
        let found = self.open(spoken, &folder, &case);
        let ended = match found {
            None => "none yet",
            Some(number) if number < spoken => "the one told of",
            Some(_) => "the next one",
        };
        *seen.cuts.lock().unwrap().entry((left, all_names, ended)).or_default() += 1;
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// Opens the files as a start does. `spoken` targets were told of before the cut: the last of them or the next may be
    /// there.
    fn open(&self, spoken: usize, folder: &Path, case: &str) -> Option<usize> {
        let database = folder.join("database.sqlite");
        // A process that is started beside this holds every lock of this one between fork and exec.
        let store = wait_for("the lock to be free", || match SqliteStore::open(folder, &database) {
            Err(held @ StoreError::Held { .. }) => Err(held.to_string()),
            other => Ok(other.unwrap_or_else(|error| panic!("{case}: {error}"))),
        });
        assert_eq!(store.recovery(), None, "{case}: a power cut is nothing to recover from");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let loaded = runtime.block_on(store.load(&self.source, &self.uuid)).unwrap_or_else(|error| panic!("{case}: {error}"));
        drop(store);
        let connection = Connection::open(&database).unwrap();
        let row = self.series.look_into(&connection).unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
        let found = row.as_ref().map(|(number, _)| *number);
        let named = loaded.target.as_ref().map(|target| self.series.number_of(&target.body).unwrap());
        assert_eq!(named, found, "{case}: what is loaded is what stands there");
        assert!(
            found.map_or(0, |number| number + 1) >= spoken && found.is_none_or(|number| number <= spoken),
            "{case}: target {found:?}, {spoken} were told of"
        );
        for settled in loaded.memory.settled.values() {
            let number = self.series.with_commit(&settled.commit);
            assert!(number.is_some() && number <= found, "{case}: settled on {number:?}, the target is {found:?}");
        }
        found
    }

    fn look_at_backups(&self, at: usize, folder: &Path, case: &str) {
        for (_, path) in self.backups.iter().filter(|(since, _)| *since <= at) {
            assert!(folder.join(path).exists(), "{case}: the backup {} was told of and is gone", path.display());
        }
        for entry in std::fs::read_dir(folder.join("backups")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "sqlite") {
                let backup = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
                let row = self.series.look_into(&backup).unwrap_or_else(|wrong| panic!("{case}: {}: {wrong}", path.display()));
                assert!(row.is_some(), "{case}: {} has no target", path.display());
            }
        }
    }
}

fn lay(files: &Files, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    files.folders.iter().for_each(|name| std::fs::create_dir(folder.join(name)).unwrap());
    files.files.iter().for_each(|(name, content)| std::fs::write(folder.join(name), content).unwrap());
}
