//! Statistics on a real engine: who uses most is found, figures outlive the agent, and keeping them costs little.
// needs: engine
// needs: promtool

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{App, Cloud, Device, Engine, Release, Role, Service, Site, check, pss_mib, wait_for};
use serde_json::{Value, json};

const MIB: f64 = 1024.0 * 1024.0;

/// Two services on the engine, looked at every second.
fn site<'e>(engine: &'e Engine, services: &[(&str, Role)]) -> (Site<'e>, Release) {
    let mut site = Site::on(engine);
    site.device.set("HOLDFAST_STATS_INTERVAL", "1s");
    let mut release = Release::new("only");
    for (name, role) in services {
        release = release.service(name, Service::new(&engine.image(*role, name)));
    }
    site.want(&release);
    site.join();
    site.wait_settled(&release);
    (site, release)
}

/// Runs a command in a container and leaves it running.
fn leave_running(engine: &Engine, id: &str, script: &str) {
    let made = engine.call("POST", &format!("/containers/{id}/exec"), &json!({ "Cmd": ["sh", "-c", script] }));
    let exec = made.json()["Id"].as_str().expect("an id").to_owned();
    engine.call("POST", &format!("/exec/{exec}/start"), &json!({ "Detach": true, "Tty": false }));
}

/// The row of a service in an answer.
fn row<'a>(stats: &'a Value, service: &str) -> &'a Value {
    stats["services"].as_array().unwrap().iter().find(|row| row["service"] == service).unwrap_or(&Value::Null)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[test]
fn who_uses_most_is_found() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _) = site(&engine, &[("busy", Role::Sleeps), ("idle", Role::Sleeps), ("web", Role::Serves)]);
    let busy = engine.service(&site.app, "busy").id;
    // A processor kept busy, 24 MiB held in a file in memory, and requests to another service.
    leave_running(&engine, &busy, "while :; do :; done");
    leave_running(
        &engine,
        &busy,
        "head -c 25165824 /dev/zero > /dev/shm/held; while :; do wget -q -O /dev/null http://web/; sleep 1; done",
    );
    let stats = wait_for("the busy service to stand first", || {
        let stats = site.device.get("/v3/stats?hours=1&what=latest,average,top,range").json();
        let (top, latest) = (&stats["top"], &row(&stats, "busy")["latest"]);
        let first = |kind: &str| top[kind][0]["service"] == "busy";
        let enough = number(&latest["cpu_percent"]) > 2.0 && number(&latest["memory_bytes"]) > 20.0 * MIB;
        check(first("cpu_percent") && first("memory_bytes") && enough, &stats)?;
        Ok(stats)
    });
    let (busy, idle) = (row(&stats, "busy"), row(&stats, "idle"));
    assert!(number(&busy["average"]["cpu_percent"]) > 2.0 * number(&idle["average"]["cpu_percent"]), "{stats}");
    assert!(number(&idle["average"]["memory_bytes"]) > 0.0 && number(&idle["average"]["memory_bytes"]) < 20.0 * MIB, "{stats}");
    assert_eq!((&busy["app"], &busy["running"]), (&json!(site.app.name), &json!(true)));
    let host = &stats["host"];
    assert!(number(&host["average"]["cpu_percent"]) > 0.0 && number(&host["memory_total_bytes"]) > 64.0 * MIB, "{host}");
    assert!(number(&host["disk_total_bytes"]) > 0.0 && number(&host["latest"]["disk_bytes"]) > 0.0, "{host}");
    let points = busy["points"]["cpu_percent"].as_array().unwrap();
    assert!(points.len() <= 1500 && points.iter().filter(|point| !point.is_null()).count() >= 1, "{busy}");
    wait_for("traffic to be counted", || {
        let stats = site.device.get("/v3/stats?hours=1").json();
        check(number(&row(&stats, "web")["average"]["network_in_bytes_per_s"]) > 0.0, &stats)
    });

    let shown = site.device.command(&["stats", "--hours", "1"]);
    assert!(shown.code == 0 && shown.stdout.contains("Who uses most") && shown.stdout.is_ascii(), "{shown:?}");
    let name = format!("{}/busy", site.app.name);
    assert!(shown.stdout.contains(&name), "{shown:?}");
    let one = site.device.command(&["stats", "busy", "--hours", "1"]);
    assert!(one.code == 0 && one.stdout.contains("no limit of memory"), "{one:?}");
    let json = site.device.command(&["stats", "--json"]);
    assert!(serde_json::from_str::<Value>(&json.stdout).is_ok_and(|stats| stats["services"].is_array()), "{json:?}");
    let unknown = site.device.command(&["stats", "nobody"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("no figures of a service nobody"), "{unknown:?}");
    println!("{}\n{}", shown.stdout, one.stdout);
}

#[test]
fn the_engine_is_asked_where_counters_cannot_be_read() {
    let Some(engine) = Engine::shared() else { return };
    let mut site = Site::on(&engine);
    site.device.set("HOLDFAST_STATS_INTERVAL", "1s");
    // A mount namespace of its own in which nobody finds the control groups.
    site.device.start_through(&["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"", "sh"]);
    let release = Release::new("only").service("main", Service::new(&engine.image(Role::Sleeps, "main")));
    site.want(&release);
    site.join();
    site.wait_settled(&release);
    leave_running(&engine, &engine.service(&site.app, "main").id, "while :; do :; done");
    wait_for("figures from the engine", || {
        let stats = site.device.get("/v3/stats?hours=1").json();
        let latest = &row(&stats, "main")["latest"];
        // However little of a processor a machine with other things to do leaves to it.
        check(number(&latest["cpu_percent"]) > 2.0 && number(&latest["memory_bytes"]) > 0.0, &stats)?;
        check(row(&stats, "main")["memory_limit_bytes"].is_null(), &stats)
    });
}

#[test]
fn prometheus_finds_nothing_to_complain_about() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _) = site(&engine, &[("main", Role::SleepsHealthy)]);
    let text = wait_for("figures of the container", || {
        let answer = site.device.get("/metrics");
        assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let text = answer.text();
        let healthy = text.lines().any(|line| line.starts_with("holdfast_container_healthy{") && line.ends_with(" 1"));
        let counted = text.contains("holdfast_container_cpu_seconds_total") && text.contains("holdfast_host_cpu_busy_ratio");
        check(healthy && counted, &text)?;
        Ok(text)
    });
    let labels = format!("{{app_id=\"{}\",app=\"{}\",service=\"main\"}}", site.app.id, site.app.name);
    for line in ["container_up", "container_healthy"].map(|name| format!("holdfast_{name}{labels} 1\n")) {
        assert!(text.contains(&line), "{line}{text}");
    }
    for name in [
        "rounds_total ",
        "polls_total{result=\"ok\"} ",
        "reports_total{result=\"ok\"} ",
        "database_size_bytes ",
        "locks_held{",
        "database_writes_total{cause=",
    ] {
        assert!(text.contains(&format!("\nholdfast_{name}")), "{name}: {text}");
    }
    let Some(promtool) = std::env::var_os("HOLDFAST_TEST_PROMTOOL").filter(|path| !path.is_empty()) else {
        println!("promtool is not to be had here: its part is left out");
        return;
    };
    let mut checker = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = checker.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].map(|words| String::from_utf8_lossy(&words).into_owned());
    assert!(said.status.success() && words.iter().all(String::is_empty), "{words:?}");
    println!("promtool: nothing to complain about in {} lines", text.lines().count());
}

/// Looks at which something was found since the beginning.
fn looks(device: &Device) -> f64 {
    number(&device.get("/v3/stats?hours=1").json()["host"]["average"]["looks"])
}

#[test]
fn figures_outlive_the_agent_and_damage_to_their_file_harms_nobody() {
    let Some(engine) = Engine::shared() else { return };
    let mut device = Device::on(&engine);
    device.set("HOLDFAST_STATS_INTERVAL", "1s");
    device.set("RUST_LOG", "info");
    let cloud = Cloud::of(&device);
    let (app, release) = (App::new(), Release::new("only").service("main", Service::new(&engine.image(Role::Sleeps, "main"))));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    let file = device.path("data/telemetry.sqlite");
    wait_for("some looks", || check(looks(&device) >= 3.0, looks(&device)));
    assert!(!file.exists(), "nothing is written while it runs");
    let (status, took) = device.stop();
    assert!(status.success() && took < Duration::from_secs(10), "{status} {took:?}");
    let mode = std::fs::metadata(&file).expect("a clean stop writes it").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let kept = kept_looks(&file);
    assert!(kept >= 3, "{kept}");
    device.start();
    wait_for("what was kept, and more", || check(looks(&device) > kept as f64, looks(&device)));
    device.kill();
    assert_eq!(kept_looks(&file), kept, "a kill loses what was new and nothing else");

    for content in [b"garbage".repeat(1000), std::fs::read(&file).unwrap()[..4096].to_vec(), Vec::new()] {
        std::fs::write(&file, content).unwrap();
        device.start();
        wait_for("new figures", || check(looks(&device) >= 2.0, looks(&device)));
        assert_eq!(device.get("/v1/healthy").status, 200);
        assert_eq!(device.running_services(), ["main"]);
        device.stop();
        assert!(kept_looks(&file) >= 2);
    }
    assert!(device.path("data/telemetry.sqlite.damaged").exists());
    engine.remove_container(&engine.service(&app, "main").id);
}

/// Looks at the machine in the finest ring of a file.
fn kept_looks(file: &Path) -> u64 {
    let database = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut chunks = database.prepare("SELECT cells FROM chunk WHERE id < 64").unwrap();
    let cells = chunks.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    cells.flatten().flat_map(|cells| cells.chunks_exact(22).map(|row| u64::from(row[0])).collect::<Vec<_>>()).sum()
}

/// Makes the file an agent leaves that has looked at the machine and three services for a month.
fn a_month_of_figures(file: &Path) {
    let database = rusqlite::Connection::open(file).unwrap();
    let schema = "PRAGMA application_id = 1212957780; PRAGMA user_version = 1;
        CREATE TABLE series (id INTEGER PRIMARY KEY, app INTEGER NOT NULL, service TEXT NOT NULL) STRICT;
        CREATE TABLE ring (id INTEGER PRIMARY KEY, step_ms INTEGER NOT NULL, rows INTEGER NOT NULL,
                           step INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
        CREATE TABLE chunk (id INTEGER PRIMARY KEY, cells BLOB NOT NULL) STRICT; BEGIN;";
    database.execute_batch(schema).unwrap();
    let now_ms = (crate::support::seconds_now() * 1000.0) as i64;
    for (series, name) in ["", "a", "b", "c"].into_iter().enumerate() {
        database
            .execute("INSERT INTO series VALUES (?1, ?2, ?3)", rusqlite::params![series as i64, i64::from(series > 0) * 7, name])
            .unwrap();
        for (tier, (step_ms, rows)) in [(60_000_i64, 1440_i64), (900_000, 672), (7_200_000, 360)].into_iter().enumerate() {
            let ring = (series * 4 + tier) as i64;
            let values = rusqlite::params![ring, step_ms, rows, now_ms / step_ms - 1, rows - 1];
            database.execute("INSERT INTO ring VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
            for chunk in 0..rows / 24 {
                let cell = |number: i64| if number % 11 == 0 { (step_ms / 60_000) as u16 } else { (number * 7919 % 2039) as u16 };
                let cells: Vec<u8> = (0..24 * 11).flat_map(|number| cell(number + chunk * 264).to_le_bytes()).collect();
                database.execute("INSERT INTO chunk VALUES (?1, ?2)", rusqlite::params![ring * 64 + chunk, cells]).unwrap();
            }
        }
    }
    database.execute_batch("COMMIT").unwrap();
}

/// Memory of the agent's own and its proportional share of all, once it has come to rest, KiB. The share depends on what else
/// runs the same program, so it is only shown.
fn memory_at_rest(device: &Device) -> (f64, f64) {
    // What reading the file took is given back when the thread that did it ends.
    std::thread::sleep(Duration::from_secs(15));
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", device.pid())).expect("the kernel adds up");
    let own = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("it is among it");
    (own.trim().trim_end_matches(" kB").parse().expect("a number"), pss_mib(device.pid()) * 1024.0)
}

#[test]
fn a_month_of_figures_takes_little_memory() {
    let Some(engine) = Engine::shared() else { return };
    let mut device = Device::on(&engine);
    device.set("RUST_LOG", "info");
    device.write_config(&json!({ "uuid": device.uuid, "deviceType": "generic-amd64" }));
    device.start();
    let (without, share) = memory_at_rest(&device);
    device.stop();
    let file = device.path("data/telemetry.sqlite");
    let _ = std::fs::remove_file(&file);
    a_month_of_figures(&file);
    device.start();
    let (with, share_with) = memory_at_rest(&device);
    let stats = device.get("/v3/stats?what=average&hours=23").json();
    assert_eq!(stats["services"].as_array().unwrap().len(), 3, "{stats}");
    for subject in stats["services"].as_array().unwrap().iter().chain([&stats["host"]]) {
        assert!((1370.0..=1390.0).contains(&number(&subject["average"]["looks"])), "{subject}");
    }
    let month = device.get("/v3/stats?what=average&hours=700").json();
    assert!(number(&month["host"]["average"]["looks"]) > 41_000.0, "{month}");
    println!("memory at rest without figures: {without:.0} KiB of its own, {share:.0} KiB PSS");
    println!("with those of a day and a month of four subjects: {with:.0} KiB of its own, {share_with:.0} KiB PSS");
    // The figures themselves are 217 KiB; the thread that read them leaves a heap of its own behind in this C library.
    assert!(with - without < 700.0, "{without:.0} KiB without, {with:.0} KiB with");
}
