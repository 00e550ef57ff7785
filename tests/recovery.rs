//! Damage to the database and what surrounds it: every start ends restored, rebuilt or healthy, or says what is in the way
//! and carries on by itself once that is gone.
//!
//! Most damages are opened by the agent's own opening code in this process, a sample by the built binary. What a clock set
//! back to 1970 does is shown where the store is given the time (`store::backup`, `store::open`): no test may set a machine's.

mod damage;
mod surroundings;

use std::path::Path;

use crate::support::{App, Cloud, Device, Release, Service, check, wait_for};

/// Bytes of a page of the database.
const PAGE: usize = 4096;

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
        check(message.contains("replaced by the copy"), message)
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
