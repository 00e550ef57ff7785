//! Measures what the agent costs a device; `tests/bench/footprint` builds the binary, starts the engine and runs this.
//!
//! First the agent has to do its job: install three services and replace one. Then it warms up, and is measured with
//! the settings of a device in the field.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses its part of this")]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::{App, Cloud, Device, Engine, Release, Role, Service, binary, check, pss_mib, wait_for};

const STARTS: usize = 15;
/// Until what an update leaves open has closed by itself: the log stream after a minute, connections kept for a next request
/// after a minute and a half.
const WARM_UP: Duration = Duration::from_secs(100);
const KIB: f64 = 1024.0;

/// One line of the table.
struct Figure {
    what: &'static str,
    measured: f64,
    limit: f64,
    unit: &'static str,
}

fn main() {
    let Some(engine) = Engine::shared() else { return };
    let short = std::env::var_os("HOLDFAST_BENCH_SHORT").is_some();
    let (wake_window, write_window) = if short { (20, 40) } else { (60, 300) };

    let (device, _cloud) = settled_device(&engine);
    println!("the agent installed three services and replaced one; warming up");
    std::thread::sleep(WARM_UP);

    let memory = pss_mib(device.pid());
    print_parts(device.pid());
    let (wake_ups, written) = idle(&device, Duration::from_secs(wake_window), Duration::from_secs(write_window));
    let start = median_start_ms(device);
    let size = std::fs::metadata(binary()).expect("the binary is there").len() as f64 / KIB / KIB;
    print_table(&[
        Figure { what: "binary", measured: size, limit: 6.0, unit: "MiB" },
        Figure { what: "memory (PSS), idle, three services", measured: memory, limit: 7.0, unit: "MiB" },
        Figure { what: "start to first /ping, median of 15", measured: start, limit: 20.0, unit: "ms" },
        Figure { what: "wake-ups, idle", measured: wake_ups, limit: 1.0, unit: "per s" },
        Figure { what: "written to storage, idle", measured: written as f64, limit: 0.0, unit: "bytes" },
    ]);
    println!("windows: {wake_window} s for wake-ups, {write_window} s for writes");
}

/// What the memory consists of, by the kernel's account. Pages of the program file are read again when they are needed, so the
/// kernel can take them back at any time; the others it cannot.
fn print_parts(pid: u32) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the kernel adds up");
    let part = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).expect("it is among it");
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / KIB
    };
    println!("memory: {:.2} MiB its own, {:.2} MiB pages of its program file", part("Pss_Anon:"), part("Pss_File:"));
}

/// Installs, updates, and leaves the device with the intervals it has in the field.
fn settled_device(engine: &Engine) -> (Device, Cloud) {
    let mut device = Device::on(engine);
    for name in ["HOLDFAST_POLL_INTERVAL", "HOLDFAST_POLL_JITTER", "HOLDFAST_REPORT_INTERVAL"] {
        device.unset(name);
    }
    device.set("RUST_LOG", "info");
    device.keep_run_files_in_memory();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let [db, web] = [engine.image(Role::Sleeps, "db"), engine.image(Role::Serves, "web")];
    let release = |name: &str, main: &str| {
        Release::new(name)
            .service("db", Service::new(&db).mount("data:/data"))
            .service("main", Service::new(main).depends_on(&["db"]))
            .service("web", Service::new(&web))
            .volume("data")
    };
    let first = release("first", &engine.image(Role::Sleeps, "main 1"));
    cloud.want(&[(&app, &first)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &first);
    let before = engine.service(&app, "db").id;

    let second = release("second", &engine.image(Role::Sleeps, "main 2"));
    cloud.want(&[(&app, &second)]);
    assert_eq!(device.command(&["update"]).code, 0);
    cloud.wait_settled(&app, &second);
    assert_eq!(engine.service(&app, "db").id, before, "a service that did not change was replaced");
    (device, cloud)
}

/// Wake-ups per second in the first window, bytes written and files changed over the second, which holds the first.
fn idle(device: &Device, wake_window: Duration, write_window: Duration) -> (f64, u64) {
    let (files, written, wake_ups) = (device.data_files(), device.bytes_written(), voluntary_switches(device.pid()));
    std::thread::sleep(wake_window);
    let wake_ups = (voluntary_switches(device.pid()) - wake_ups) as f64 / wake_window.as_secs_f64();
    std::thread::sleep(write_window.saturating_sub(wake_window));
    let changed: Vec<_> = device.data_files().into_iter().filter(|(path, state)| files.get(path) != Some(state)).collect();
    if !changed.is_empty() {
        println!("files that changed while idle: {changed:?}");
    }
    (wake_ups, device.bytes_written() - written)
}

/// How often the process gave the processor up by itself and was woken again, over all its threads.
fn voluntary_switches(pid: u32) -> u64 {
    let of_thread = |dir: &Path| {
        let status = std::fs::read_to_string(dir.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs");
    threads.flatten().map(|thread| of_thread(&thread.path())).sum()
}

/// From the fork to the first answer, with the database and the containers that are there.
fn median_start_ms(mut device: Device) -> f64 {
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        device.stop();
        let begin = Instant::now();
        device.spawn();
        while device.try_get("/ping").is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "no answer: {}", device.log());
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        // A start is not measured on top of the previous one's work.
        wait_for("the agent to have looked", || check(!device.running_services().is_empty(), "nothing yet"));
    }
    times.sort_by(f64::total_cmp);
    times[STARTS / 2]
}

fn print_table(figures: &[Figure]) {
    println!("{:<40} {:>10} {:>8}  unit", "", "measured", "aim");
    for Figure { what, measured, limit, unit } in figures {
        let verdict = if measured <= limit { "" } else { "  <-- over" };
        println!("{what:<40} {measured:>10.2} {limit:>8.1}  {unit}{verdict}");
    }
}
