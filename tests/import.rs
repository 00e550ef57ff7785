//! Changing agents: what an earlier one left is taken over, its files stay as they were, and nothing is half done.
// needs: engine

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use support::{App, Cloud, Container, Device, Engine, Release, Role, Service, Site, check, device_target, wait_for};

const API_KEY: &str = "00112233445566778899aabbccddeeff";

/// An image reference the simulated engine can pull.
fn image(digit: u8) -> String {
    format!("registry.example.com/v2/{digit:032x}@sha256:{digit:064x}")
}

/// The schema since M00012, as balena-supervisor's migrations leave it.
const SCHEMA: &str = "
    CREATE TABLE config (key varchar(255), value varchar(255), PRIMARY KEY (key));
    CREATE TABLE deviceConfig (targetValues json);
    CREATE TABLE app (id integer not null primary key autoincrement, name varchar(255), releaseId integer,
      \"commit\" varchar(255), appId integer, services json, networks json, volumes json, source varchar(255),
      uuid varchar(255), class varchar(255) DEFAULT 'fleet', isHost boolean DEFAULT '0', rejected boolean DEFAULT 0);
    CREATE UNIQUE INDEX app_uuid_unique ON app (uuid);
    CREATE TABLE image (id integer not null primary key autoincrement, name varchar(255), appId integer, serviceId integer,
      serviceName varchar(255), imageId integer, releaseId integer, dockerImageId varchar(255), appUuid varchar(255),
      \"commit\" varchar(255));
    CREATE TABLE apiSecret (id integer not null primary key autoincrement, appId integer, key varchar(255), scopes varchar(255),
      serviceName varchar(255));
    CREATE TABLE currentCommit (id integer not null primary key, appId integer not null, \"commit\" varchar(255) not null);
    CREATE TABLE knex_migrations (id integer not null primary key autoincrement, name varchar(255), batch integer,
      migration_time datetime);
    INSERT INTO knex_migrations (name, batch) VALUES ('M00012.js', 1);
    INSERT INTO config VALUES ('name', 'a-device'), ('targetStateSet', 'true');
    INSERT INTO deviceConfig VALUES ('{}');";

/// Writes the database a balena-supervisor has that settled on this release.
fn balena_database(device: &Device, cloud: &Cloud, app: &App, release: &Release) -> PathBuf {
    let file = device.path("data/balena-supervisor/database.sqlite");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA).unwrap();
    let entry = device_target(&[(app, release)], &[]);
    let (commit, wanted) = entry["apps"][&app.uuid]["releases"].as_object().unwrap().iter().next().unwrap();
    let service = |(name, service): (&String, &Value)| {
        json!({ "appId": app.id, "appUuid": app.uuid, "releaseId": wanted["id"], "commit": commit, "serviceName": name,
            "imageId": service["image_id"], "serviceId": service["id"], "image": service["image"], "running": true,
            "environment": service["environment"], "labels": service["labels"], "composition": service["composition"] })
    };
    let services: Vec<Value> = wanted["services"].as_object().unwrap().iter().map(service).collect();
    let insert = "INSERT INTO app (name, releaseId, \"commit\", appId, services, networks, volumes, source, uuid)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = rusqlite::params![
        app.name,
        wanted["id"].as_i64(),
        commit,
        app.id as i64,
        json!(services).to_string(),
        wanted["networks"].to_string(),
        wanted["volumes"].to_string(),
        cloud.url(),
        app.uuid,
    ];
    database.execute(insert, values).unwrap();
    for service in &services {
        let row = rusqlite::params![service["image"].as_str(), app.id as i64, service["serviceName"].as_str(), app.uuid];
        database.execute("INSERT INTO image (name, appId, serviceName, appUuid) VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    }
    let secret = "INSERT INTO apiSecret (appId, serviceName, key, scopes) VALUES (?1, 'main', ?2, '[]')";
    database.execute(secret, rusqlite::params![app.id as i64, API_KEY]).unwrap();
    database.execute("INSERT INTO currentCommit VALUES (1, ?1, ?2)", rusqlite::params![app.id as i64, commit]).unwrap();
    file
}

/// Name, content, mode and time of everything in a folder.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>, u32, i64, i64)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths
        .map(|path| {
            let found = fs::metadata(&path).unwrap();
            (path.clone(), fs::read(&path).unwrap(), found.mode(), found.mtime(), found.mtime_nsec())
        })
        .collect();
    all.sort();
    all
}

fn configure(device: &Device, cloud: &Cloud) {
    device.write_config(&json!({
        "apiEndpoint": cloud.url(), "uuid": device.uuid, "deviceApiKey": device.key(), "deviceType": "generic-amd64",
        "deviceId": 1, "applicationId": 1, "registered_at": 1,
    }));
}

fn stored(device: &Device, sql: &str) -> Vec<String> {
    let database = Connection::open(device.path("data/database.sqlite")).unwrap();
    let mut select = database.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
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

/// Containers as balena-supervisor leaves them: made by the agent's own first life, whose memory is then taken away. That
/// both make the same containers is shown by the suite `adoption`.
#[test]
fn a_device_changes_agents_and_its_containers_do_not_notice() {
    let Some(engine) = Engine::shared() else { return };
    let main = Service::new(&engine.image(Role::Sleeps, "main"))
        .label("io.balena.features.supervisor-api", "1")
        .variable("COLOUR", "green")
        .mount("data:/data");
    let release = Release::new("first")
        .service("main", main)
        .service("other", Service::new(&engine.image(Role::Sleeps, "other")))
        .volume("data");
    let mut site = Site::on(&engine);
    seed_key(&site);
    site.want(&release);
    site.join();
    let before = site.wait_settled(&release);
    assert_eq!(before[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY));
    site.device.stop();
    let ids = |containers: &[Container]| -> Vec<String> {
        containers.iter().map(|c| format!("{} {} {}", c.id, c.name, c.started_at())).collect()
    };

    // Another agent's device from here on: its database, and nothing of ours.
    fs::remove_dir_all(site.device.path("data")).unwrap();
    let file = balena_database(&site.device, &site.cloud, &site.app, &release);
    let original = content(file.parent().unwrap());
    let polls = site.cloud.polls().len();
    site.cloud.go_away();
    site.device.start();
    site.device.wait_status(&["poll_error"]);
    wait_for("nothing to be left to do", || {
        let plan = site.device.command(&["plan"]);
        check(plan.stdout.contains("Nothing to do"), plan.stdout)
    });
    assert_eq!(ids(&engine.containers(&site.app)), ids(&before), "without the cloud");

    site.cloud.heal();
    site.want(&release);
    let after = site.wait_settled(&release);
    site.cloud.wait_polls(2);
    let answered = site.cloud.polls()[polls..].iter().find(|poll| poll.status != 0).cloned().expect("a poll");
    assert_eq!((answered.if_none_match, answered.status), (None, 200), "the first poll asks for a whole body");
    assert_eq!(ids(&after), ids(&before), "with the cloud");
    assert_eq!(content(file.parent().unwrap()), original);
    site.device.stop();
    let key = stored(&site.device, "SELECT key FROM api_key WHERE service = 'main'");
    assert_eq!(key.iter().map(String::as_str).collect::<Vec<_>>(), [API_KEY]);
    assert_eq!(
        after[0].variable("BALENA_SUPERVISOR_API_KEY"),
        Some(API_KEY),
        "the key in the container is the one that is stored"
    );
}

/// Gives the first life's service the key balena's database will say it has.
fn seed_key(site: &Site<'_>) {
    configure(&site.device, &site.cloud);
    let file = balena_database(&site.device, &site.cloud, &site.app, &Release::new("none"));
    Connection::open(&file).unwrap().execute("DELETE FROM app", []).unwrap();
    let seeded = site.device.command(&["db", "import", &file.display().to_string()]);
    assert_eq!(seeded.code, 0, "{seeded:?}");
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}
