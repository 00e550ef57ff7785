//! The page, letter by letter, in the states a technician meets.

use super::*;
use crate::api::{Ago, Ahead, BackupRow, EngineRow, Health, OffenceRow, PhaseRow, UnsupportedRow};
use crate::cloud::SUPERVISOR_COMPATIBLE_VERSION;

const OLD: &str = "1111111aaaaaaaaaaaaa";
const NEW: &str = "2222222bbbbbbbbbbbbb";

fn ago(seconds: i64) -> Option<Ago> {
    Some(Ago { ago_ms: seconds * 1000, utc: None })
}

fn ahead(seconds: i64) -> Option<Ahead> {
    Some(Ahead { in_ms: seconds * 1000, utc: None })
}

fn service(name: &str) -> ServiceRow {
    ServiceRow {
        name: name.into(),
        image: format!("r.example.com/v2/{name}@sha256:0123456789abcdef0123456789abcdef"),
        image_present: true,
        wanted_commit: Some(OLD.into()),
        running_commit: Some(OLD.into()),
        container: Some("c".into()),
        state: Some("running".into()),
        status: "Running".into(),
        started: ago(200),
        ..ServiceRow::default()
    }
}

fn app(services: Vec<ServiceRow>) -> AppRow {
    AppRow {
        name: "kitchen".into(),
        id: 5,
        wanted_commit: Some(OLD.into()),
        settled_commit: Some(OLD.into()),
        update_status: Some("done".into()),
        services,
        ..AppRow::default()
    }
}

fn device() -> Status {
    Status {
        device: DeviceRow {
            uuid: "0123456789abcdef0123456789abcdef".into(),
            name: Some("pi".into()),
            device_type: Some("raspberrypi4-64".into()),
            arch: Some("aarch64".into()),
            os: Some("balenaOS 5.1".into()),
            agent_version: AGENT_VERSION.into(),
            compatible_version: SUPERVISOR_COMPATIBLE_VERSION.into(),
            ..DeviceRow::default()
        },
        phase: PhaseRow { name: "settled".into(), text: "Settled: everything runs as the target asks.".into(), since: None },
        health: Health { healthy: true, reasons: Vec::new() },
        cloud: Cloud {
            endpoint: "https://api.example.com".into(),
            last_poll: ago(180),
            next_poll: ahead(720),
            last_report: ago(175),
            ..Cloud::default()
        },
        engine: Some(EngineRow {
            name: "Docker".into(),
            version: "20.10.24".into(),
            api_version: "1.41".into(),
            address: "unix:///var/run/docker.sock".into(),
        }),
        database: Database {
            path: "/data/database.sqlite".into(),
            open: true,
            schema: 2,
            journal_mode: "wal".into(),
            size_bytes: 49_152,
            free_bytes: Some(1 << 30),
            ..Database::default()
        },
        ..Status::default()
    }
}

#[test]
fn a_settled_device() {
    let mut healthy = service("main");
    healthy.health = Some("healthy".into());
    let shown = status(&Status { apps: vec![app(vec![service("db"), healthy])], ..device() }, Paint::Plain);
    let expected = format!(
        "\
Settled: everything runs as the target asks.

Device    pi, raspberrypi4-64 (aarch64), balenaOS 5.1,
          0123456789abcdef0123456789abcdef
Agent     holdfast {AGENT_VERSION} (compatible with 19.0.5)
Engine    Docker 20.10.24, API 1.41, unix:///var/run/docker.sock
Cloud     https://api.example.com, polled 3 min ago, next poll in 12 min,
          reported 2 min 55 s ago

App kitchen (5): release 1111111, done
  SERVICE  STATE             RELEASE  IMAGE         SINCE
  db       running           1111111  0123456789ab  3 min 20 s
  main     running, healthy  1111111  0123456789ab  3 min 20 s
"
    );
    assert_eq!(shown, expected);
}

#[test]
fn an_update_with_a_download_a_lock_and_a_failure() {
    let mut downloading = service("main");
    downloading.wanted_commit = Some(NEW.into());
    downloading.progress = Some(45);
    let mut missing = ServiceRow { container: None, state: None, running_commit: None, started: None, ..service("new") };
    (missing.wanted_commit, missing.progress) = (Some(NEW.into()), Some(7));
    let mut stopped = service("old");
    (stopped.wanted_commit, stopped.state, stopped.exit_code) = (None, Some("exited".into()), Some(137));
    let wanted = AppRow {
        wanted_commit: Some(NEW.into()),
        update_status: Some("downloading".into()),
        ..app(vec![downloading, missing, stopped])
    };
    let doing = DoingRow {
        text: "download r.example.com/v2/main@sha256:0123456789abcdef0123456789abcdef".into(),
        app: Some("kitchen".into()),
        service: Some("main".into()),
        since: Ago { ago_ms: 12_000, utc: None },
        progress: Some(45),
        ..DoingRow::default()
    };
    let lock = WaitRow {
        app: "kitchen".into(),
        text: "waiting for the update lock of main (updates.lock), held by the application".into(),
        since: ago(300),
        ..WaitRow::default()
    };
    let retry = WaitRow {
        app: "kitchen".into(),
        service: Some("db".into()),
        text: "failed 2 time(s), tried again later: no route to host".into(),
        until: ahead(30),
        ..WaitRow::default()
    };
    let text = "Applying the target: 1 step is running.".to_owned();
    let shown = status(
        &Status {
            phase: PhaseRow { name: "applying".into(), text, since: None },
            apps: vec![wanted],
            doing: vec![doing],
            waiting: vec![lock, retry],
            ..device()
        },
        Paint::Plain,
    );
    let expected = "\
App kitchen (5): release 1111111 -> 2222222, downloading
  SERVICE  STATE            RELEASE             IMAGE         SINCE
  main     running          1111111 -> 2222222  0123456789ab  3 min 20 s
  new      downloading 7 %  2222222             0123456789ab
  old      exited (137)     1111111 -> none     0123456789ab

Doing
  [#########-----------] 45 % kitchen/main: download
    r.example.com/v2/main@sha256:0123456789abcdef0123456789abcdef (for 12 s)

Waiting
  kitchen: waiting for the update lock of main (updates.lock), held by the
    application (since 5 min)
  kitchen/db: failed 2 time(s), tried again later: no route to host (in 30 s)
";
    let (_, below) = shown.split_at(shown.find("App ").unwrap());
    assert_eq!(below, expected);
    assert!(shown.starts_with("Applying the target: 1 step is running.\n\n"));
}

#[test]
fn a_device_in_trouble() {
    let shown = status(
        &Status {
            device: DeviceRow { agent_version: "9.9.9".into(), compatible_version: "19.0.5".into(), ..DeviceRow::default() },
            phase: PhaseRow { name: "engine-away".into(), text: "The container engine does not answer.".into(), since: ago(61) },
            health: Health { healthy: false, reasons: vec!["the loop is stuck".into()] },
            cloud: Cloud {
                endpoint: "https://api.example.com".into(),
                next_poll: ahead(0),
                poll_error: Some("the name does not resolve".into()),
                poll_failures: 3,
                ..Cloud::default()
            },
            engine: None,
            database: Database {
                path: "/data/database.sqlite".into(),
                error: Some("disk I/O error".into()),
                ..Database::default()
            },
            refused: vec![RefusedRow {
                app: "hall".into(),
                commit: Some(NEW.into()),
                offences: vec![OffenceRow { path: "apps.x.releases".into(), message: "two releases".into() }],
                ..RefusedRow::default()
            }],
            unsupported: vec![UnsupportedRow {
                app: "kitchen".into(),
                service: Some("main".into()),
                path: "composition.annotations".into(),
                message: "is not supported".into(),
            }],
            faults: vec![FaultRow { subject: "engine".into(), message: "does\x1b[31m not answer".into() }],
            settings: vec![FaultRow { subject: "config.json".into(), message: "is unreadable".into() }],
            ..Status::default()
        },
        Paint::Plain,
    );
    let expected = format!(
        "\
The container engine does not answer. (since 1 min 1 s)
The agent is not healthy: the loop is stuck

Device    (no name), no uuid yet
Agent     holdfast 9.9.9 (compatible with 19.0.5); this command line is {AGENT_VERSION}
Engine    has not answered yet
Cloud     https://api.example.com, not polled yet, next poll now, not reported
          yet
          last poll failed (3 in a row): the name does not resolve
Database  /data/database.sqlite: NOT OPEN; disk I/O error

Refused: these apps are left as they are
  hall, release 2222222: apps.x.releases: two releases

Not supported, and left out
  kitchen/main: composition.annotations: is not supported

Wrong
  engine: does?[31m not answer

Wrong in the settings
  config.json: is unreadable
"
    );
    assert_eq!(shown, expected);
}

#[test]
fn an_unmanaged_device_without_apps() {
    let shown = status(&Status { cloud: Cloud::default(), ..device() }, Paint::Plain);
    assert!(shown.contains("\nCloud     none: this device is not managed by a cloud\n"), "{shown}");
    let empty = status(&Status { apps: vec![app(Vec::new())], ..device() }, Paint::Plain);
    assert!(empty.ends_with("App kitchen (5): release 1111111, done\n  no services\n"), "{empty}");
}

#[test]
fn of_the_database_only_what_is_wrong_is_said() {
    let well = device();
    assert!(!status(&well, Paint::Plain).contains("Database"));
    let backup = |verified| Some(BackupRow { path: "/data/backups/b".into(), verified, ..BackupRow::default() });
    let shown = |database| status(&Status { database, ..device() }, Paint::Plain);
    assert!(!shown(Database { newest_backup: backup(true), ..well.database.clone() }).contains("Database"));
    for (database, wrong) in [
        (Database { free_bytes: Some(5 << 20), ..well.database.clone() }, "only 5.0 MiB left on its partition"),
        (Database { newest_backup: backup(false), ..well.database.clone() }, "/data/backups/b did not pass its check"),
        (Database { journal_mode: "delete".into(), ..well.database.clone() }, "without a write-ahead log"),
        (Database { error: Some("disk I/O error".into()), ..well.database }, "database.sqlite: disk I/O error"),
    ] {
        let text = shown(database);
        assert!(
            text.contains("\nDatabase  /data/database.sqlite: ") && text.replace("\n          ", " ").contains(wrong),
            "{text}"
        );
    }
}

#[test]
fn a_terminal_gets_colours_and_nothing_else_changes() {
    let plain = status(&device(), Paint::Plain);
    let colour = status(&device(), Paint::Terminal { columns: 80, colours: true });
    assert!(colour.starts_with("\x1b[32mSettled"));
    assert_eq!(colour.replace("\x1b[32m", "").replace("\x1b[0m", ""), plain);
}

#[test]
fn a_device_that_is_joining_its_cloud() {
    let joining = ProvisioningRow {
        doing: "registering with https://api.example.com".into(),
        error: Some("POST https://api.example.com/device/register: answered 503: busy".into()),
        failures: 4,
        next_try: ahead(90),
    };
    let shown = status(&Status { cloud: Cloud { provisioning: Some(joining), ..device().cloud }, ..device() }, Paint::Plain);
    let folded = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "Cloud registering with https://api.example.com, last error (4 in a row): POST \
                    https://api.example.com/device/register: answered 503: busy, next try in 1 min 30 s";
    assert!(folded.contains(expected), "{shown}");
}
