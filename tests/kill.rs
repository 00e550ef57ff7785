//! The agent killed at random moments while it starts, changes its target, makes a backup or changes its schema: each time
//! the database is whole, holds the old target or the new one, and the next start settles on the newest.
//!
//! Several devices side by side, since most of the time is the simulated engine's. `HOLDFAST_TEST_SEED` repeats a run as
//! far as time can be repeated.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::{Cloud, Device, Series, long_run};
use fastrand::Rng;
use rusqlite::{Connection, OpenFlags};

const DEVICES: usize = 6;

/// What the agent is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum During {
    /// The first start, with nothing there.
    FirstStart,
    /// A start at which another target waits.
    Start,
    /// A change of the target while it runs.
    Change,
    /// A backup asked for through its API.
    Backup,
    /// A start that brings the schema from version 1 to its own.
    Migration,
}

use During::{Backup, Change, FirstStart, Migration, Start};

/// What is done in turn.
const TURNS: [During; 12] =
    [Change, Backup, Migration, Start, Change, Backup, Change, FirstStart, Backup, Start, Change, Migration];

/// Kills by what was being done and how far it had come.
type Tally = Mutex<BTreeMap<(During, &'static str), usize>>;

struct Victim {
    device: Device,
    cloud: Cloud,
    series: Series,
    rng: Rng,
    /// Which target each ETag named so far.
    etags: BTreeMap<String, usize>,
    /// The target the device is known to have stored: never an older one from now on.
    least: Option<usize>,
    /// How long a start took until it settled, and how long a backup took: kills fall within.
    start_takes: Duration,
    backup_takes: Duration,
}

#[test]
fn killed_at_any_moment_it_has_the_old_target_or_the_new_one() {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("HOLDFAST_TEST_SEED={seed}");
    let kills = if long_run() { 516 } else { 60 };
    let (tally, begin) = (Tally::default(), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..DEVICES {
            let tally = &tally;
            scope.spawn(move || {
                let mut victim = Victim::settled(Rng::with_seed(seed.wrapping_add(number as u64)));
                (0..kills / DEVICES).for_each(|turn| victim.turn(TURNS[(turn + 2 * number) % TURNS.len()], tally));
                victim.leaves_nothing_unfinished();
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    let count: usize = tally.values().sum();
    println!("{}", shown(&tally));
    println!(
        "{count} kills in {:.0} s: each time the database was whole, with the old target or the new one, and settled again",
        begin.elapsed().as_secs_f32()
    );
    assert_eq!(count, kills);
    for during in TURNS {
        assert!(tally.keys().any(|(seen, _)| *seen == during), "no kill during {during:?}");
    }
}

fn shown(tally: &BTreeMap<(During, &'static str), usize>) -> String {
    let mut text = format!("{:<12} {:<34} {:>5}\n", "KILLED IN", "LEFT BEHIND", "KILLS");
    for ((during, left), count) in tally {
        let _ = writeln!(text, "{:<12} {left:<34} {count:>5}", format!("{during:?}"));
    }
    text
}

impl Victim {
    fn settled(rng: Rng) -> Victim {
        let mut device = Device::simulated();
        let cloud = Cloud::of(&device);
        let mut series = Series::of(&device);
        series.next(&cloud);
        let begin = Instant::now();
        device.join(&cloud);
        series.wait_settled(&device);
        let start_takes = begin.elapsed();
        let begin = Instant::now();
        assert_eq!(device.post("/v3/db/backup", &serde_json::Value::Null).status, 200);
        let backup_takes = begin.elapsed();
        Victim { device, cloud, series, rng, etags: BTreeMap::new(), least: None, start_takes, backup_takes }
    }

    /// One kill of an agent that runs and settled, and everything that must be so afterwards.
    fn turn(&mut self, during: During, tally: &Tally) {
        let (before, copies_before) = (self.series.newest(), self.backups());
        let answer = match during {
            Backup => self.kill_in_backup(),
            Change => {
                self.series.next(&self.cloud);
                assert_eq!(self.device.post("/v1/update", &serde_json::json!({})).status, 204);
                // The target is stored soon; what follows is mostly the engine's.
                let early = self.rng.f64().powi(3);
                self.kill_after(Duration::from_millis(400).min(self.start_takes).mul_f64(early));
                None
            }
            FirstStart | Start | Migration => {
                self.kill_in_start(during);
                None
            }
        };
        let (left, schema) = self.examine(during);
        let finished = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "sqlite");
        let partial = self.backups().iter().any(|file| !finished(file) && !copies_before.contains(file));
        let kind = match (during, left) {
            _ if partial => "a copy not finished",
            (Backup, _) if answer.is_some() => "backup made and answered",
            (Backup, _) => "no part of a copy",
            (Migration, _) if schema == 1 => "schema as it was",
            (Migration, _) => "schema changed",
            (_, None) => "no target yet",
            (_, Some(stored)) if stored > before => "new target",
            (_, Some(_)) => "old target",
        };
        *tally.lock().unwrap().entry((during, kind)).or_default() += 1;
        self.start_again();
    }

    fn kill_after(&mut self, wait: Duration) {
        std::thread::sleep(wait);
        self.device.kill();
    }

    fn kill_in_start(&mut self, during: During) {
        match during {
            Migration => {
                self.device.stop();
                let back = self.device.command(&["db", "migrate", "--to", "1"]);
                assert_eq!(back.code, 0, "{back:?}");
            }
            FirstStart => {
                self.device.kill();
                std::fs::remove_dir_all(self.device.path("data")).unwrap();
                self.least = None;
            }
            _ => self.device.kill(),
        }
        if during != Migration {
            self.series.next(&self.cloud);
        }
        self.device.spawn();
        let part = self.rng.f64();
        self.kill_after(Duration::from_millis(800).min(self.start_takes).mul_f64(part));
    }

    /// Returns the answer, if there was one.
    fn kill_in_backup(&mut self) -> Option<String> {
        let mut stream = UnixStream::connect(self.device.path("agent.sock")).unwrap();
        stream
            .write_all(b"POST /v3/db/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let part = self.rng.f64() * 1.25;
        self.kill_after(self.backup_takes.mul_f64(part));
        let mut answer = Vec::new();
        // A connection of somebody killed may end with an error.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let named = self.backups().iter().any(|file| answer.contains(file.file_name().unwrap().to_str().unwrap()));
        assert!(answer.is_empty() || named, "the backup that was answered is not there: {answer}");
        (!answer.is_empty()).then_some(answer)
    }

    fn backups(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.device.path("data/backups")).into_iter().flatten();
        let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Looks at a copy of what the kill left: opening the files themselves would tidy them up. Returns which target is
    /// stored, and the schema version.
    fn examine(&mut self, during: During) -> (Option<usize>, i64) {
        self.learn_what_was_said();
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.device.path("data")).into_iter().flatten() {
            let (name, from) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
            let text = name.to_string_lossy().into_owned();
            if text.starts_with("database.sqlite") && !text.ends_with("-shm") {
                std::fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        let newest_copy = self.backups().into_iter().rfind(|file| file.extension().is_some_and(|kind| kind == "sqlite"));
        if let Some(file) = newest_copy {
            let database = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            self.series.look_into(&database).unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
        }
        let file = copy.path().join("database.sqlite");
        if !file.exists() {
            assert!(during == FirstStart && self.least.is_none(), "{during:?}: the database is gone");
            return (None, 0);
        }
        self.look_into(&file, during)
    }

    fn look_into(&mut self, file: &Path, during: During) -> (Option<usize>, i64) {
        let database = Connection::open(file).unwrap();
        let found = self.series.look_into(&database).unwrap_or_else(|wrong| panic!("killed in {during:?}: {wrong}"));
        let schema = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let Some((stored, etag)) = found else {
            assert!(during == FirstStart && self.least.is_none(), "{during:?}: the target is gone");
            return (None, schema);
        };
        let another = self.etags.iter().find(|(known, number)| (**known == etag) != (**number == stored));
        assert!(another.is_none(), "{during:?}: target {stored} with ETag {etag}, while {another:?} is known");
        self.etags.insert(etag, stored);
        self.learn_what_was_said();
        assert!(self.least.is_none_or(|least| stored >= least), "{during:?}: target {stored} after {:?} was stored", self.least);
        self.least = Some(stored);
        (Some(stored), schema)
    }

    /// What the device told its cloud that it has or runs, it has stored. After a first start only what is told from then
    /// on counts, which the next start waits for.
    fn learn_what_was_said(&mut self) {
        if self.least.is_none() {
            return;
        }
        let polls = self.cloud.polls();
        let held = polls.last().and_then(|poll| poll.if_none_match.as_ref()).and_then(|etag| self.etags.get(etag));
        self.least = self.least.max(held.copied()).max(self.series.reported(&self.cloud));
    }

    /// What killed backups left is gone with the next one.
    fn leaves_nothing_unfinished(&self) {
        assert_eq!(self.device.post("/v3/db/backup", &serde_json::Value::Null).status, 200);
        let files = self.backups();
        assert!(files.iter().all(|file| file.extension().is_some_and(|kind| kind == "sqlite")), "{files:?}");
    }

    fn start_again(&mut self) {
        self.device.start();
        self.series.wait_settled(&self.device);
        let recovery = self.device.get("/v3/status").json()["database"]["recovery"].clone();
        assert!(recovery.is_null(), "a kill is nothing to recover from: {recovery}");
        self.least = Some(self.series.newest());
    }
}
