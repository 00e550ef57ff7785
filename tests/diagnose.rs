//! `holdfast diagnose` on devices in every state: what it finds, what it advises, and what its bundle does not tell.

mod bundle;
mod fakes;
mod secrets;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::support::{App, Certificates, Cloud, Device, Release, Service, TlsFront, binary, check, wait_for};
use serde_json::{Value, json};

/// The key of every test device.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Puts a file below a host's root.
fn on_root(root: &Path, path: &str, text: &str, mode: u32) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A report with the code it came with.
struct Report {
    code: i32,
    json: Value,
}

impl Report {
    fn of(device: &Device, arguments: &[&str]) -> Report {
        let arguments = [&["diagnose", "--json"], arguments].concat();
        let answer = device.command(&arguments);
        let json = serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        let report = Report { code: answer.code, json };
        assert_eq!(report.code, i32::from(report.json["failed"] != json!(0)), "{}", report.json);
        report
    }

    fn row(&self, name: &str) -> &Value {
        let rows = self.json["checks"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} in {:#}", self.json))
    }

    /// Says so about a check, with these words in the sentence or the remedy.
    fn says(&self, name: &str, verdict: &str, words: &str) {
        let row = self.row(name);
        let text = format!("{} {}", row["sentence"].as_str().unwrap(), row["remedy"].as_str().unwrap());
        assert!(row["verdict"] == verdict && text.contains(words), "{name}: {verdict}, {words:?} expected: {row:#}");
        assert_eq!(row["remedy"].as_str().unwrap().is_empty(), matches!(verdict, "ok" | "skipped"), "{row}");
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A device that runs a release of its cloud on the simulated engine.
fn settled() -> (Device, Cloud) {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("first").service("main", Service::new(&image));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    (device, cloud)
}

#[test]
fn a_healthy_device_is_found_healthy_by_the_command_and_by_the_agent() {
    let (device, _cloud) = settled();
    std::fs::set_permissions(device.path("config.json"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(device.command(&["db", "backup"]).code, 0);
    // The agent itself writes down what happened just now.
    let report = wait_for("the agent to have nothing to write", || {
        let before = device.data_files();
        let report = Report::of(&device, &[]);
        check(device.data_files() == before, "something was written").map(|()| report)
    });
    for name in ["agent", "settings", "database", "backups", "permissions", "locks", "cloud", "clock"] {
        report.says(name, "ok", "");
    }
    report.says("engine", "skipped", "simulated");
    report.says("dns", "skipped", "127.0.0.1");
    report.says("cloud-certificate", "skipped", "not reached over TLS");
    let by_agent = device.get("/v3/diagnose").json();
    let names = |report: &Value| -> Vec<String> {
        report["checks"].as_array().unwrap().iter().map(|row| row["name"].to_string()).collect()
    };
    assert_eq!(names(&by_agent), names(&report.json));
    assert!(by_agent["checks"].as_array().unwrap().iter().any(|row| row["name"] == "agent" && row["verdict"] == "ok"));
    // As text: the verdicts as headings, one line for each check.
    let text = device.command(&["diagnose"]).stdout;
    assert!(text.contains("\nok\n  agent: it answers at ") && text.contains(" failed, "), "{text}");
}

#[test]
fn with_the_agent_dead_the_file_is_read_and_left_as_it_is() {
    let (mut device, _cloud) = settled();
    assert_eq!(device.command(&["db", "backup"]).code, 0);
    device.stop();
    let before = device.data_files();
    let report = Report::of(&device, &[]);
    report.says("agent", "failed", "none runs");
    report.says("agent", "failed", "systemctl");
    report.says("database", "ok", "whole");
    report.says("backups", "ok", "");
    assert_eq!((report.code, device.data_files()), (1, before));
    // Killed, it leaves a log, which is read too.
    device.start();
    device.kill();
    Report::of(&device, &[]).says("database", "ok", "whole");
    device.start();
}

#[test]
fn with_nothing_there_at_all_it_says_so() {
    let mut device = Device::simulated();
    device.set("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let report = Report::of(&device, &[]);
    report.says("agent", "failed", "no agent answers");
    report.says("database", "failed", "is not there");
    report.says("engine", "failed", "does not answer");
    report.says("container-health", "skipped", "see the check engine");
    report.says("settings", "ok", "unmanaged");
    report.says("cloud", "skipped", "unmanaged");
    let bundle = device.path("bundle.tar.gz");
    let answer = device.command(&["diagnose", "--json", "--bundle", bundle.to_str().unwrap()]);
    let told: Value = serde_json::from_str(&answer.stdout).unwrap();
    let missing = told["bundle"]["missing"].to_string();
    assert!(
        missing.contains("agent/status.json") && missing.contains("database.sqlite") && missing.contains("config.json"),
        "{told}"
    );
    let members = secrets::members(&bundle);
    assert!(members.contains_key("checks.txt") && members.contains_key("removed.json"), "{:?}", members.keys());
    let again = device.command(&["diagnose", "--bundle", bundle.to_str().unwrap()]);
    assert!(again.code == 1 && again.stderr.contains("it is there already"), "{again:?}");
}

#[test]
fn a_damaged_database_is_found_and_restored_by_name() {
    let (mut device, _cloud) = settled();
    assert_eq!(device.command(&["db", "backup"]).code, 0);
    device.stop();
    let path = device.path("data").join("database.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let report = Report::of(&device, &[]);
    report.says("database", "failed", "--fix restore-database");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "looking changes nothing");
    let fixed = device.command(&["diagnose", "--fix", "restore-database", "--json"]);
    assert!(fixed.code == 0 && fixed.stdout.contains("takes the place of"), "{fixed:?}");
    device.check_database();
    Report::of(&device, &[]).says("database", "ok", "");
    // While an agent runs it does the same, and opens its database anew.
    device.start();
    let fixed = device.command(&["diagnose", "--fix", "restore-database"]);
    assert_eq!(fixed.code, 0, "{fixed:?}");
    wait_for("the agent with the restored database", || {
        let answer = device.try_get("/v1/healthy").map_err(|error| error.to_string())?;
        check(answer.status == 200 && device.log().contains("replaced by the copy"), device.log())
    });
}

#[test]
fn config_json_that_cannot_be_read_is_told() {
    let device = Device::simulated();
    std::fs::write(device.path("config.json"), "{\"apiEndpoint\": \"htp:/x\", ").unwrap();
    Report::of(&device, &[]).says("settings", "failed", "mend ");
}

#[test]
fn locks_of_applications_and_of_a_dead_agent() {
    let (mut device, _cloud) = settled();
    device.kill();
    let folder = device.path("locks").join("7").join("main");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("updates.lock"), "").unwrap();
    let two_days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400 + 60);
    let lock = std::fs::File::options().write(true).open(folder.join("updates.lock")).unwrap();
    lock.set_modified(two_days_ago).unwrap();
    Report::of(&device, &[]).says("locks", "warning", "main of app 7 holds updates.lock for 2 days");
    let ours = device.path("locks").join("7").join("other");
    std::fs::create_dir_all(&ours).unwrap();
    std::fs::write(ours.join("updates.lock"), "holdfast update lock\n").unwrap();
    let fixed = device.command(&["diagnose", "--fix", "stale-locks"]);
    assert!(fixed.code == 0 && fixed.stdout.contains("1 locks of the agent removed"), "{fixed:?}");
    assert!(folder.join("updates.lock").exists(), "the application's stays");
    device.start();
    let refused = device.command(&["diagnose", "--fix", "stale-locks"]);
    assert!(refused.code == 1 && refused.stdout.contains("an agent runs"), "{refused:?}");
}

#[test]
fn without_a_network_and_on_a_full_disk() {
    if !is_root() {
        return;
    }
    let (device, _cloud) = settled();
    let through = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).chain([binary()]).collect() };
    let mut away = Device::simulated().running(through(&["unshare", "--net"]));
    let root = away.path("root");
    on_root(&root, "etc/resolv.conf", "nameserver 10.0.0.1\n", 0o644);
    away.set("HOLDFAST_HOST_ROOT", root.to_str().unwrap());
    away.write_config(&json!({ "apiEndpoint": "https://api.example.com", "uuid": away.uuid, "deviceApiKey": KEY }));
    let report = Report::of(&away, &[]);
    report.says("cloud", "failed", "cannot be reached");
    report.says("dns", "failed", "api.example.com");
    report.says("name-servers", "failed", "10.0.0.1: ");
    report.says("ping", "skipped", "");
    report.says("cloud-certificate", "failed", "cannot be greeted");
    report.says("network", "failed", "no address");
    report.says("registry", "warning", "registry2.example.com");
    let data = device.path("data");
    let script = format!(
        "cp -a {0} {0}.copy && mount -t tmpfs -o size=2m,mode=700 tmpfs {0} && cp -a {0}.copy/database.sqlite {0}/ && cat /dev/zero >{0}/filler 2>/dev/null; exec \"$@\"",
        data.display()
    );
    let full = Device::simulated().running(through(&["unshare", "--mount", "sh", "-c", &script, "sh"]));
    let mut arguments = vec!["--data-dir", data.to_str().unwrap()];
    let socket = full.path("nobody.sock");
    arguments.extend(["--socket", socket.to_str().unwrap()]);
    let report = Report::of(&full, &arguments);
    report.says("disk-space", "failed", "prune-images");
    report.says("database", "ok", "");
}

#[test]
fn a_clock_that_differs_from_the_clouds_is_wrong() {
    let device = Device::simulated();
    let answers = |_: &str| (200, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), "OK".to_owned());
    let port = fakes::on_port(Arc::new(answers));
    device.write_config(&json!({ "apiEndpoint": format!("http://127.0.0.1:{port}"), "uuid": device.uuid, "deviceApiKey": KEY }));
    let report = Report::of(&device, &[]);
    report.says("clock", "failed", "ahead of the cloud's");
    report.says("cloud", "ok", "answers in");
    let hotel = fakes::on_port(Arc::new(|_: &str| (200, String::new(), "<html>sign in</html>".to_owned())));
    device.write_config(&json!({ "apiEndpoint": format!("http://127.0.0.1:{hotel}"), "uuid": device.uuid, "deviceApiKey": KEY }));
    Report::of(&device, &[]).says("cloud", "failed", "captive portal");
}

#[test]
fn certificates_that_end_soon_have_ended_or_are_somebody_elses() {
    for (days, root, verdict, words) in [
        ("30", true, "ok", "trusted and valid until"),
        ("5", true, "warning", "days from now"),
        ("30", false, "failed", "is not trusted"),
    ] {
        let device = Device::simulated();
        let cloud = Cloud::of(&device);
        let certificates = Certificates::lasting(days);
        let front = TlsFront::before(cloud.port(), &certificates);
        let mut config = json!({ "apiEndpoint": front.url(), "uuid": device.uuid, "deviceApiKey": KEY });
        if root {
            config["balenaRootCA"] = certificates.root().into();
        }
        device.write_config(&config);
        let report = Report::of(&device, &[]);
        report.says("cloud-certificate", verdict, words);
        report.says("cloud", if root { "ok" } else { "failed" }, "");
    }
}

#[test]
fn the_makers_own_checks_good_and_bad() {
    if !is_root() {
        return;
    }
    let device = Device::simulated();
    let root = tempfile::tempdir().unwrap();
    let folder = "etc/holdfast/checks.d";
    let program = |name: &str, script: &str, mode| {
        on_root(root.path(), &format!("{folder}/{name}"), &format!("#!/bin/sh\n{script}\n"), mode)
    };
    program(
        "good",
        r#"echo '[{"name":"fan","verdict":"warning","sentence":"slow","remedy":"clean it"},{"verdict":"ok","sentence":"fine"}]'"#,
        0o755,
    );
    program("hang", "sleep 1000 & sleep 1000", 0o755);
    program("garbage", "echo hello", 0o755);
    program("none", "echo x; exit 2", 0o755);
    program("huge", "yes", 0o755);
    program("plain", "exit 0", 0o644);
    program("open", "exit 0", 0o757);
    program("foreign", "exit 0", 0o755);
    std::os::unix::fs::chown(root.path().join(folder).join("foreign"), Some(1000), None).unwrap();
    let arguments = ["--host-root", root.path().to_str().unwrap()];
    let report = Report::of(&device, &arguments);
    report.says("good/fan", "warning", "clean it");
    report.says("good", "ok", "fine");
    report.says("hang", "failed", "within 10 s");
    report.says("garbage", "failed", "hello");
    report.says("none", "skipped", "not applicable");
    report.says("huge", "failed", "64 KiB");
    report.says("plain", "skipped", "not executable");
    report.says("open", "skipped", "0757");
    report.says("foreign", "skipped", "does not belong to root");
    let left = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(|process| {
        let is_it = std::fs::read(process.join("cmdline")).is_ok_and(|words| words == b"sleep\x001000\x00");
        is_it && std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == Path::new("/"))
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new(), "what a check started went on");
    std::fs::set_permissions(root.path().join(folder), std::fs::Permissions::from_mode(0o777)).unwrap();
    Report::of(&device, &arguments).says("checks.d", "skipped", "0777");
}

#[test]
fn containers_that_loop_or_are_ill() {
    let device = Device::simulated();
    let socket = device.path("fake.sock");
    let container = |name: &str, restarts: i64, health: &str| {
        json!({ "Name": format!("/{name}"), "RestartCount": restarts, "State": {
            "Running": true, "Restarting": restarts > 0, "ExitCode": 3, "StartedAt": "2026-01-01T00:00:00Z",
            "Health": { "Status": health, "Log": [{ "ExitCode": 1, "Output": "no answer" }] } } })
    };
    let containers = vec![
        container("calm", 0, "healthy"),
        container("loops", 9, "healthy"),
        container("ill", 0, "unhealthy"),
        container("balena_supervisor", 0, ""),
    ];
    fakes::engine(&socket, containers, json!({ "DockerRootDir": "/" }));
    let report = Report::of(&device, &["--engine", &format!("unix://{}", socket.display())]);
    report.says("engine", "ok", "20.10.24");
    report.says("container-restarts", "failed", "loops was restarted 9 times (last exit code 3)");
    report.says("container-health", "failed", "ill is unhealthy: exit code 1, output: no answer");
    report.says("supervisor", "warning", "balena_supervisor");
}

#[test]
fn what_the_system_left_on_its_state_partition_is_told() {
    let device = Device::simulated();
    let root = tempfile::tempdir().unwrap();
    on_root(root.path(), "mnt/state/rollback-altboot-triggered", "", 0o644);
    on_root(root.path(), "etc/os-release", "ID=balena-os\nPRETTY_NAME=\"balenaOS 1.26\"\nVERSION_ID=1.26.0\n", 0o644);
    let report = Report::of(&device, &["--host-root", root.path().to_str().unwrap()]);
    report.says("os-rollback", "failed", "did not start");
    report.says("os", "warning", "balenaOS 1.26");
}
