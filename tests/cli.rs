//! The command line: exit codes, bad settings, and what a second agent is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use support::{App, Cloud, Device, Release, Service};

#[test]
fn wrong_usage_is_2() {
    let device = Device::simulated();
    assert_eq!(device.command(&["no-such-command"]).code, 2);
    assert_eq!(device.command(&["status", "--no-such-flag"]).code, 2);
}

#[test]
fn an_agent_that_is_not_there_is_3() {
    let device = Device::simulated();
    for command in [&["status"][..], &["update"], &["lock", "list"], &["target", "show"], &["target", "history"]] {
        let answer = device.command(command);
        assert_eq!(answer.code, 3, "{command:?}: {answer:?}");
        assert!(answer.stderr.contains("agent.sock"), "it says where it looked: {answer:?}");
    }
}

#[test]
fn a_bad_value_in_the_environment_ends_the_start_with_2_and_names_it() {
    let mut device = Device::simulated();
    device.write_config(&json!({}));
    device.set("HOLDFAST_POLL_INTERVAL", "soon");
    let answer = device.command(&["run"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains("HOLDFAST_POLL_INTERVAL") && answer.stderr.contains("soon"), "{answer:?}");
}

#[test]
fn a_bad_value_in_config_json_is_reported_and_does_not_stop_the_agent() {
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid, "appUpdatePollInterval": "often" }));
    device.start();
    device.wait_status(&["appUpdatePollInterval", "often"]);
}

#[test]
fn a_second_agent_on_the_same_data_directory_is_told_who_holds_it() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    device.set("HOLDFAST_SOCKET", &device.path("second.sock").display().to_string());
    let second = device.command(&["run"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains(&device.pid().to_string()), "{second:?}");
    assert_eq!(device.get("/ping").status, 200, "the first goes on");
}

#[test]
fn the_files_it_makes_are_private() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    let mode = |name: &str| std::fs::metadata(device.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data"), 0o700);
    assert_eq!(mode("data/database.sqlite"), 0o600);
    assert_eq!(mode("agent.sock"), 0o660);
}

#[test]
fn the_commands_show_what_the_device_is_at() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("one").service("main", Service::new(&image));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);

    let status = device.command(&["status"]);
    assert!(status.code == 0 && status.stdout.contains(&app.name) && status.stdout.contains("main"), "{status:?}");
    let target = device.command(&["target", "show"]);
    assert!(target.code == 0 && target.stdout.contains(&release.commit), "{target:?}");
    assert_eq!(device.command(&["plan"]).code, 0);
    for command in [&["status", "--json"][..], &["plan", "--json"], &["lock", "list", "--json"], &["target", "show", "--json"]] {
        let answer = device.command(command);
        assert!(serde_json::from_str::<serde_json::Value>(&answer.stdout).is_ok(), "{command:?}: {answer:?}");
    }
    assert_eq!(device.get("/v2/version").json()["status"], "success");
    assert_eq!(device.get("/v2/applications/state").json()[&app.name]["commit"], release.commit.as_str());
    assert_eq!(device.get("/v1/device").json()["supervisor_version"], "19.0.5");
    assert_eq!(device.get("/no/such/path").status, 404);
}

#[test]
fn keys_of_config_json_nobody_knows_are_kept() {
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid, "somebodyElses": { "kept": [1, 2, 3] } }));
    device.start();
    let (status, _) = device.stop();
    assert!(status.success(), "{status}");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(device.path("config.json")).unwrap()).unwrap();
    assert_eq!(config["somebodyElses"]["kept"], json!([1, 2, 3]));
}
