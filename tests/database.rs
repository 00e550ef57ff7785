//! The database as others see it: the sqlite3 command line on a live device's file, its history, and what it costs.

use std::process::Command;

use crate::support::{App, Cloud, Device, Release, Service, check, device_target, wait_for};
use serde_json::{Value, json};

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";

/// A settled device with two services, on the simulated engine.
struct Site {
    device: Device,
    cloud: Cloud,
    app: App,
}

fn release(name: &str) -> Release {
    let main = Service::new(IMAGE).variable("NAME", name).label("io.balena.features.supervisor-api", "1");
    Release::new(name).service("main", main.mount("data:/data")).service("other", Service::new(IMAGE)).volume("data")
}

impl Site {
    fn settled() -> Site {
        let mut device = Device::simulated();
        let (cloud, app) = (Cloud::of(&device), App::new());
        cloud.set_target(device_target(&[(&app, &release("first"))], &[("HOLDFAST_HEALTH_TIMEOUT", "0")]));
        device.join(&cloud);
        let site = Site { device, cloud, app };
        site.wait_settled("first");
        site
    }

    fn update(&self, name: &str) {
        self.cloud.want(&[(&self.app, &release(name))]);
        self.wait_settled(name);
    }

    /// Waits until the device settled and the store says so.
    fn wait_settled(&self, name: &str) {
        let commit = release(name).commit;
        self.cloud.wait_settled(&self.app, &release(name));
        wait_for("the settled state to be kept", || {
            let history = self.device.get("/v3/target/history").json();
            let newest = &history["snapshots"][0];
            check(newest["kind"] == "current" && newest["state"]["apps"][&self.app.uuid]["settled"] == *commit, newest)
        });
    }

    /// The sqlite3 command line on the live file.
    fn sqlite3(&self, sql: &str) -> String {
        let mut command = Command::new("sqlite3");
        command.args(["-readonly", "-bail", "-cmd", ".timeout 10000"]).arg(self.device.path("data/database.sqlite")).arg(sql);
        let output = command.output().expect("sqlite3 is installed (package sqlite3)");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn written(&self) -> Value {
        self.device.get("/v3/db").json()["writes"]["since_start"].clone()
    }
}

fn has_sqlite3() -> bool {
    let there = Command::new("sqlite3").arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: there is no sqlite3 command line here");
    }
    there
}

/// The queries of docs/store.md, each with the question above it.
fn documented_queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/store.md")).expect("the page is there");
    let mut parts = text.split("```sql\n");
    let mut question = parts.next().unwrap_or_default().trim().lines().last().unwrap_or_default().to_owned();
    let mut queries = Vec::new();
    for part in parts {
        let (query, rest) = part.split_once("```").expect("the block ends");
        queries.push((std::mem::take(&mut question), query.to_owned()));
        question = rest.trim().lines().next().unwrap_or_default().to_owned();
    }
    queries
}

#[test]
fn the_sqlite3_command_line_agrees_while_the_agent_runs() {
    if !has_sqlite3() {
        return;
    }
    let site = Site::settled();
    site.update("second");
    assert_eq!(site.sqlite3("PRAGMA integrity_check"), "ok\n");
    assert_eq!(site.sqlite3("PRAGMA foreign_key_check"), "");
    let queries = documented_queries();
    assert!(queries.len() >= 12, "{queries:?}");
    for (question, query) in &queries {
        let answer = site.sqlite3(query);
        // The second release has no device variables; everything else has an answer.
        assert!(!answer.is_empty() || question.contains("configured"), "{question}: {query}");
    }
    let second = release("second").commit;
    let services = site.sqlite3("SELECT service, status, image FROM service ORDER BY service");
    assert_eq!(services, format!("main|Running|{IMAGE}\nother|Running|{IMAGE}\n"));
    assert_eq!(site.sqlite3("SELECT settled_commit, app_id FROM app"), format!("{second}|{}\n", site.app.id));
    assert_eq!(site.sqlite3("SELECT volume FROM volume"), "data\n");
    assert_eq!(site.sqlite3("SELECT kind FROM snapshot ORDER BY id"), "target\ncurrent\ntarget\ncurrent\n");
    // The global key belongs to no service.
    assert_eq!(site.sqlite3("SELECT scopes FROM api_key WHERE service IS NULL"), "[{\"type\":\"global\"}]\n");
    let scopes = site.sqlite3("SELECT service, scopes FROM api_key WHERE service IS NOT NULL");
    assert_eq!(scopes, format!("main|[{{\"type\":\"app\",\"appId\":{}}}]\n", site.app.id));
    assert_eq!(site.sqlite3("SELECT count(*) > 0 FROM event WHERE text LIKE 'Installing service%'"), "1\n");
    // The agent went on all the while.
    site.update("third");
}

#[test]
fn history_is_shown_with_and_without_an_agent() {
    let mut site = Site::settled();
    site.update("second");
    let asked = |site: &Site| {
        let answer = site.device.command(&["target", "history", "--json"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        let mut history: Value = serde_json::from_str(&answer.stdout).unwrap();
        for row in history["snapshots"].as_array_mut().unwrap() {
            row["taken"]["ago_ms"] = json!(0);
        }
        (history, answer.stderr)
    };
    let (while_it_runs, remark) = asked(&site);
    assert_eq!(remark, "");
    let text = site.device.command(&["target", "history"]).stdout;
    let second = &release("second").commit[..7];
    assert!(text.contains("reached") && text.contains("wanted") && text.contains(second), "{text}");
    assert!(text.contains("(2 services)"), "{text}");

    // Killed: the log still holds what is newest.
    site.device.kill();
    let (after_a_kill, remark) = asked(&site);
    assert_eq!(after_a_kill, while_it_runs);
    assert!(remark.contains("no agent answers") && remark.contains("database.sqlite"), "{remark}");
    // Ended in order: the file alone is read, and nothing is left beside it.
    site.device.start();
    site.device.stop();
    let files = site.device.data_files();
    let (after_the_end, _) = asked(&site);
    assert_eq!(after_the_end["snapshots"].as_array().unwrap().len(), while_it_runs["snapshots"].as_array().unwrap().len());
    assert_eq!(site.device.data_files(), files);
}

#[test]
fn a_start_adds_only_what_differs() {
    let mut site = Site::settled();
    let rows = site.device.get("/v3/db").json()["rows"].clone();
    site.device.stop();
    site.device.start();
    site.wait_settled("first");
    let polls = site.cloud.polls().len();
    wait_for("some polls", || check(site.cloud.polls().len() > polls + 3, "not yet"));
    let again = site.device.get("/v3/db").json()["rows"].clone();
    for table in ["stored_target", "settled_release", "image", "api_key", "migration"] {
        assert_eq!(again[table], rows[table], "{table}");
    }
    // The simulated engine forgets with its process: other containers run now. The target is no other.
    let kinds = site.device.get("/v3/target/history").json()["snapshots"].clone();
    let targets = kinds.as_array().unwrap().iter().filter(|row| row["kind"] == "target").count();
    assert_eq!(targets, 1, "{kinds}");
}

#[test]
fn a_settled_device_writes_nothing_however_often_it_polls() {
    let site = Site::settled();
    wait_for("the agent to come to rest", || {
        let before = site.device.data_files();
        std::thread::sleep(std::time::Duration::from_secs(2));
        check(site.device.data_files() == before, "it still writes")
    });
    let (files, written, polls) = (site.device.data_files(), site.written(), site.cloud.polls().len());
    wait_for("ten polls", || check(site.cloud.polls().len() > polls + 10, site.cloud.polls().len()));
    assert_eq!(site.device.data_files(), files);
    assert_eq!(site.written(), written);
}

#[test]
fn the_database_is_described() {
    let site = Site::settled();
    let db = site.device.get("/v3/db").json();
    assert_eq!((&db["database"]["open"], &db["database"]["journal_mode"]), (&json!(true), &json!("wal")));
    assert!(db["database"]["free_bytes"].as_u64() > Some(0) && db["database"]["rows"].as_u64() > Some(5), "{db}");
    assert_eq!((&db["rows"]["stored_target"], &db["rows"]["image"]), (&json!(1), &json!(1)));
    assert!(db["pages"]["all"].as_u64() > Some(10), "{db}");
    let status = site.device.get("/v3/status").json();
    assert_eq!(status["database"]["schema"], db["rows"]["migration"]);
    let text = site.device.command(&["status"]).stdout;
    assert!(!text.contains("Database"), "nothing is wrong with it: {text}");
    let written = site.written();
    for cause in ["target", "memory", "image", "snapshot"] {
        assert!(written[cause]["bytes"].as_u64() > Some(4096) && written[cause]["syncs"].as_u64() > Some(0), "{written}");
    }
}
