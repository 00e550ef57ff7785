//! Changing agents: what an earlier one left is taken over, its files stay as they were, and nothing is half done.

use std::fs;

use crate::support::{
    API_KEY, App, Cloud, Device, Release, Service, balena_database, check, content, device_target, stored, wait_for,
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// An image reference the simulated engine can pull.
fn image(digit: u8) -> String {
    format!("registry.example.com/v2/{digit:032x}@sha256:{digit:064x}")
}

fn configure(device: &Device, cloud: &Cloud) {
    device.write_config(&json!({
        "apiEndpoint": cloud.url(), "uuid": device.uuid, "deviceApiKey": device.key(), "deviceType": "generic-amd64",
        "deviceId": 1, "applicationId": 1, "registered_at": 1,
    }));
}

#[test]
fn a_device_without_its_cloud_goes_on_with_what_balena_left() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let release = Release::new("only").service("main", Service::new(&image(1)).label("io.balena.features.supervisor-api", "1"));
    let file = balena_database(&device, &cloud, &app, &release);
    let before = content(file.parent().unwrap());
    cloud.go_away();
    device.join(&cloud);
    wait_for("the service to run", || {
        let running = device.running_services();
        check(running == ["main"], format!("{running:?}"))
    });
    let held = device.get("/v3/target").json();
    assert_eq!((&held["etag"], &held["source"]), (&Value::Null, &json!(cloud.url())));
    assert!(device.log().contains("taken over from") && device.log().contains("1 API key(s)"));
    assert_eq!(content(file.parent().unwrap()), before);

    // The first poll is for a whole body, and it is the same release: nothing happens but that its ETag is kept.
    cloud.want(&[(&app, &release)]);
    cloud.heal();
    cloud.wait_settled(&app, &release);
    // The report may have come before the first poll.
    cloud.wait_polls(2);
    let answered: Vec<_> = cloud.polls().into_iter().filter(|poll| poll.status != 0).collect();
    assert_eq!((answered[0].if_none_match.as_deref(), answered[0].status), (None, 200));
    assert_eq!(content(file.parent().unwrap()), before);
    device.stop();
    assert_eq!(stored(&device, "SELECT key FROM api_key WHERE service = 'main'"), [API_KEY]);

    // The second start has a target of its own and does not look there again.
    device.start();
    assert_eq!(device.log().matches("taken over from").count(), 1);
}

#[test]
fn a_preload_starts_a_device_that_never_saw_its_cloud() {
    let mut device = Device::simulated();
    device.set("HOLDFAST_HOST_ROOT", &device.path("root").display().to_string());
    let cloud = Cloud::of(&device);
    let app = App::new();
    let release = Release::new("only").service("main", Service::new(&image(1)));
    let folder = device.path("root/mnt/data");
    fs::create_dir_all(&folder).unwrap();
    let entry = device_target(&[(&app, &release)], &[("HOST_CONFIG_gpu_mem", "16")]);
    let preload = json!({ "config": entry["config"], "apps": entry["apps"] }).to_string();
    fs::write(folder.join("apps.json"), &preload).unwrap();
    cloud.go_away();
    device.join(&cloud);
    wait_for("the service to run", || {
        let running = device.running_services();
        check(running == ["main"], format!("{running:?}"))
    });
    assert_eq!(fs::read_to_string(folder.join("apps.json.preloaded")).unwrap(), preload);
    assert_eq!(fs::read_to_string(folder.join("apps.json")).unwrap(), "{}\n");
    device.kill();
    device.start();
    assert_eq!(device.log().matches("taken over from").count(), 1);
}

#[test]
fn a_named_file_is_imported_while_no_agent_runs_or_not_at_all() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let release = Release::new("only").service("main", Service::new(&image(1)));
    let file = balena_database(&device, &cloud, &app, &release);
    let named = device.path("carried.sqlite");
    fs::rename(&file, &named).unwrap();
    let named_text = named.display().to_string();
    configure(&device, &cloud);

    // What makes no sense changes nothing, and says which row.
    let database = Connection::open(&named).unwrap();
    let services: String = database.query_row("SELECT services FROM app", [], |row| row.get(0)).unwrap();
    database.execute("UPDATE app SET services = '[{'", []).unwrap();
    drop(database);
    let bad = fs::read(&named).unwrap();
    let refused = device.command(&["db", "import", &named_text]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("table app, row 1") && refused.stderr.contains("nothing was imported"), "{refused:?}");
    assert_eq!(fs::read(&named).unwrap(), bad);
    assert_eq!(stored(&device, "SELECT uuid FROM stored_target"), [] as [String; 0]);
    assert_eq!(stored(&device, "SELECT name FROM value"), [] as [String; 0]);

    Connection::open(&named).unwrap().execute("UPDATE app SET services = ?1", [services]).unwrap();
    let taken = device.command(&["db", "import", &named_text, "--json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let said: Value = serde_json::from_str(&taken.stdout).unwrap();
    assert_eq!(said["target"], true);
    assert_eq!(stored(&device, "SELECT uuid FROM stored_target"), [device.uuid.as_str()]);
    let twice = device.command(&["db", "import", &named_text]);
    assert!(twice.code == 1 && twice.stderr.contains("--replace"), "{twice:?}");
    assert_eq!(device.command(&["db", "import", &named_text, "--replace"]).code, 0);

    device.start();
    let running = device.command(&["db", "import", &named_text, "--replace"]);
    assert!(running.code == 1 && running.stderr.contains("systemctl stop holdfast"), "{running:?}");
    assert!(running.stderr.contains(&format!("(pid {})", device.pid())), "{running:?}");
}
