//! Measures what the database costs a device, next to bare SQLite in the same run; `tests/bench/store` builds the binary and
//! runs this. Bytes are the kernel's count of what was handed to `write`; idle figures are those of a short window,
//! extrapolated to an hour and said so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses its part of this")]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast::store::{Change, SqliteStore, Store, StoredTarget};
use rusqlite::Connection;
use serde_json::Value;
use support::{App, Cloud, Device, Release, Service, check, wait_for};

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";
const CLOUD: &str = "https://api.example.com";
/// A target as fleets have them.
const TARGET_BYTES: usize = 16 * 1024;
const LARGE_BYTES: u64 = 50 * 1024 * 1024;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let only_once = std::env::args().any(|argument| argument == "--test");
    let short = only_once || std::env::var_os("HOLDFAST_BENCH_SHORT").is_some();
    updates_and_idle(if short { 3 } else { 10 }, Duration::from_secs(if short { 10 } else { 60 }));
    latency(if short { 50 } else { 500 });
    opening(if short { 3 } else { 11 });
}

/// What the agent wrote so far by its own account: bytes and syncs by cause.
fn account(device: &Device) -> Value {
    device.get("/v3/db").json()["writes"]["since_start"].clone()
}

fn sum(account: &Value, what: &str) -> u64 {
    account.as_object().into_iter().flatten().filter_map(|(_, written)| written[what].as_u64()).sum()
}

/// Bytes the agent's process handed to `write`, its log and its answers included.
fn handed_over(device: &Device) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", device.pid())).expect("the kernel counts");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("wchar is among it");
    line.trim().parse().expect("a number")
}

/// Updates of an app of three services, then nothing.
fn updates_and_idle(updates: u64, window: Duration) {
    let mut device = Device::simulated();
    device.set("RUST_LOG", "error");
    let (cloud, app) = (Cloud::of(&device), App::new());
    let release = |number: u64| {
        ["db", "main", "web"].iter().fold(Release::new(&format!("release {number}")), |release, name| {
            release.service(name, Service::new(IMAGE).variable("ROUND", &number.to_string()))
        })
    };
    let settle = |number: u64, device: &Device| {
        wait_for("the settled state to be kept", || {
            let history = device.get("/v3/target/history").json();
            let state = &history["snapshots"][0]["state"]["apps"][&app.uuid];
            check(state["settled"] == *release(number).commit, state)
        });
    };
    cloud.want(&[(&app, &release(0))]);
    device.join(&cloud);
    settle(0, &device);
    let before = account(&device);
    for number in 1..=updates {
        // An operator's pace: the history of each update is written by itself.
        cloud.want(&[(&app, &release(number))]);
        cloud.wait_settled(&app, &release(number));
        if number <= 3 {
            settle(number, &device);
        }
    }
    let after = account(&device);
    println!("update of three services, mean of {updates}");
    let per = |what: &str| (sum(&after, what) - sum(&before, what)) as f64 / updates as f64;
    println!("  {:>10.0} bytes and {:.1} waits for the storage for each", per("bytes"), per("syncs"));
    for (cause, written) in after.as_object().expect("an account") {
        let bytes = |account: &Value| account[cause]["bytes"].as_u64().unwrap_or(0);
        println!("  {:>10.0} bytes of it: {cause}", (bytes(&after) - bytes(&before)) as f64 / updates as f64);
        let _ = written;
    }

    wait_for("the agent to come to rest", || {
        let begin = account(&device);
        std::thread::sleep(Duration::from_secs(3));
        check(account(&device) == begin, "it still writes")
    });
    let (files, begin, all) = (device.data_files(), account(&device), handed_over(&device));
    std::thread::sleep(window);
    let idle = sum(&account(&device), "bytes") - sum(&begin, "bytes");
    let changed = device.data_files().iter().filter(|(path, state)| files.get(*path) != Some(state)).count();
    let hours = 3600.0 / window.as_secs_f64();
    println!("idle, {} s with a poll each second, extrapolated to an hour", window.as_secs());
    println!("  {:>10.0} bytes to the data directory, {changed} files changed (aim 0)", idle as f64 * hours);
    println!("  {:>10.0} bytes handed to sockets and logs", (handed_over(&device) - all) as f64 * hours);
}

/// A target document of the usual size that differs in every part from the one before.
fn body(number: usize) -> String {
    let mut text = format!("{{\"u\":{{\"name\":\"{number}\",\"config\":{{\"A\":\"");
    while text.len() < TARGET_BYTES {
        text.push_str(&format!("{:08x}", number.wrapping_mul(2_654_435_761).wrapping_add(text.len())));
    }
    text.push_str("\"},\"apps\":{}}}");
    text
}

/// Time to store a target durably, in turns with bare SQLite writing the same body with the same settings.
fn latency(repeats: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(&folder.path().join("data"), &folder.path().join("data/database.sqlite")).expect("it opens");
    let bare = bare(&folder.path().join("bare.sqlite"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for number in 0..repeats + 5 {
        let body = body(number);
        let target = StoredTarget { source: CLOUD.into(), uuid: "u".into(), etag: None, body: body.clone() };
        let begin = Instant::now();
        runtime.block_on(store.commit(vec![Change::Target(target)])).expect("it is stored");
        let took = begin.elapsed();
        let begin = Instant::now();
        bare.execute("INSERT INTO target VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET body = excluded.body", [&body])
            .expect("it is stored");
        // The first rounds warm both up.
        if number >= 5 {
            ours.push(took);
            peers.push(begin.elapsed());
        }
    }
    println!("storing a target of {} KiB durably, {repeats} times", TARGET_BYTES / 1024);
    println!("  {:>10} {:>12} {:>12} {:>8}", "", "agent, ms", "SQLite, ms", "ratio");
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let (ours, peer) = (quantile(&mut ours, part), quantile(&mut peers, part));
        println!("  {name:>10} {ours:>12.2} {peer:>12.2} {:>8.2}", ours / peer);
    }
    println!("  the agent keeps the target as history too, and writes it in the same transaction");
}

/// A database with one table, opened as the agent's is.
fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("it opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE target (id INTEGER PRIMARY KEY, body TEXT);",
        )
        .expect("it is made");
    connection
}

fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0
}

/// Time to open and check a large database, in turns with bare SQLite doing its quick check of the same file.
fn opening(repeats: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, path) = (folder.path().join("data"), folder.path().join("data/database.sqlite"));
    drop(SqliteStore::open(&data, &path).expect("it opens"));
    fill(&path);
    let bytes = std::fs::metadata(&path).expect("it is there").len();
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        let begin = Instant::now();
        let store = SqliteStore::open(&data, &path).expect("it opens");
        ours.push(begin.elapsed());
        drop(store);
        let begin = Instant::now();
        let bare = Connection::open(&path).expect("it opens");
        let verdict: String = bare.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).expect("it is checked");
        assert_eq!(verdict, "ok");
        peers.push(begin.elapsed());
    }
    let (ours, peer) = (quantile(&mut ours, 0.5), quantile(&mut peers, 0.5));
    println!("opening and checking a database of {} MiB, median of {repeats}", bytes / 1024 / 1024);
    println!("  {ours:>10.1} ms; SQLite's quick check alone {peer:.1} ms; ratio {:.2}", ours / peer);
}

/// Rows as a device has them, far more than one ever would.
fn fill(path: &Path) {
    let connection = Connection::open(path).expect("it opens");
    let mut at = 0_u64;
    while std::fs::metadata(path).expect("it is there").len() < LARGE_BYTES {
        connection.execute_batch("BEGIN").expect("a transaction");
        for _ in 0..10_000 {
            at += 1;
            let reference = format!("registry.example.com/v2/{at:032x}@sha256:{at:064x}");
            let row = rusqlite::params![reference, format!("sha256:{at:064x}"), format!("{at:032x}"), "main", 1, 2];
            connection.execute("INSERT INTO image VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).expect("a row");
        }
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);").expect("it is stored");
    }
}
