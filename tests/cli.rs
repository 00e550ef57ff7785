//! The command line: exit codes, bad settings, and what a second agent is told.

use std::os::unix::fs::PermissionsExt;

use crate::support::{App, Cloud, Device, Release, Service};
use serde_json::json;

/// Commands that ask nobody and therefore take no `--host`.
const ASK_NOBODY: [&str; 9] = ["run", "launch", "demo", "simulate", "data move", "db import", "version", "completions", "man"];
/// Commands whose output is none for programs, or nothing else.
const NO_JSON: [&str; 5] = ["run", "launch", "simulate", "completions", "man"];
/// What a command cannot do without.
const REQUIRED: [(&str, &[&str]); 7] = [
    ("volume backup", &["data"]),
    ("host-config set", &["--hostname", "shed"]),
    ("target set", &["/dev/null"]),
    ("service start", &["main"]),
    ("service stop", &["main"]),
    ("service restart", &["main"]),
    // A new agent is installed without the one that is not there.
    ("self-update", &["--check"]),
];

/// Every command by the words of its help, those below a group in its place.
fn commands(device: &Device, above: &[&str]) -> Vec<String> {
    let help = device.command(&[above, &["--help"]].concat());
    assert_eq!(help.code, 0, "{above:?}: {help:?}");
    let listed = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<String> = listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    if names.is_empty() {
        return vec![above.join(" ")];
    }
    names.iter().flat_map(|name| commands(device, &[above, &[name]].concat())).collect()
}

#[test]
fn every_command_has_examples_json_and_host() {
    let device = Device::simulated();
    let all = commands(&device, &[]);
    assert!(all.len() > 20 && all.iter().any(|name| name == "db migrate"), "{all:?}");
    for name in &all {
        let help = device.command(&[&name.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat()).stdout;
        assert!(
            help.contains(&format!("Examples:\n  holdfast {name}")) || help.contains("Examples:\n  RUST_LOG"),
            "{name}: {help}"
        );
        assert_eq!(help.contains("--json"), !NO_JSON.contains(&name.as_str()), "{name}: {help}");
        assert_eq!(help.contains("--host "), !ASK_NOBODY.contains(&name.as_str()), "{name}: {help}");
    }
}

#[test]
fn wrong_usage_is_2() {
    let device = Device::simulated();
    assert_eq!(device.command(&["no-such-command"]).code, 2);
    // What `launch` does not know is for `run`.
    for name in commands(&device, &[]).iter().filter(|name| *name != "launch") {
        let answer = device.command(&[&name.split(' ').collect::<Vec<_>>()[..], &["--no-such-flag"]].concat());
        assert!(answer.code == 2 && answer.stderr.contains("--no-such-flag"), "{name}: {answer:?}");
    }
    for command in [&["host-config", "set"][..], &["host-config", "set", "--proxy", "nonsense"], &["status", "--host", "a"]] {
        let answer = device.command(command);
        assert!(answer.code == 2 && answer.stdout.is_empty(), "{command:?}: {answer:?}");
    }
}

#[test]
fn an_agent_that_is_not_there_is_3() {
    let mut device = Device::simulated();
    // The logs are read from the engine otherwise.
    device.set("DOCKER_HOST", "unix:///no/such/docker.sock");
    let asks = |name: &&String| !ASK_NOBODY.contains(&name.as_str());
    for name in commands(&device, &[]).iter().filter(asks) {
        // These work on the file then; a restore reads its archive first; to diagnose, the agent is one of many things.
        if name.starts_with("db ") || name == "volume restore" || name == "diagnose" {
            continue;
        }
        let required = REQUIRED.iter().find(|(command, _)| command == name).map_or(&[][..], |(_, arguments)| arguments);
        let answer = device.command(&[&name.split(' ').collect::<Vec<_>>()[..], required].concat());
        assert_eq!(answer.code, 3, "{name}: {answer:?}");
        assert!(answer.stderr.contains("agent.sock"), "it says where it looked: {answer:?}");
        assert!(answer.stderr.contains("systemctl status holdfast"), "and what to try: {answer:?}");
    }
}

#[test]
fn what_failed_is_1_and_said_with_its_cause() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    std::fs::write(device.path("nonsense"), "nonsense").unwrap();
    let nonsense = device.path("nonsense").display().to_string();
    for (command, words) in [
        (&["plan", "/no/such/file"][..], "/no/such/file"),
        (&["plan", &nonsense], "nonsense"),
        (&["db", "restore", "/no/such/file"], "/no/such/file"),
        (&["db", "import", &nonsense], "an agent runs"),
        (&["volume", "backup", "no-such-volume"], "no-such-volume"),
        (&["volume", "restore", "data", &nonsense], "nonsense"),
        (&["data", "move", "/no/such/folder", "/no/such/other"], "/no/such"),
    ] {
        let answer = device.command(command);
        assert!(answer.code == 1 && answer.stderr.starts_with("holdfast: "), "{command:?}: {answer:?}");
        assert!(answer.stderr.contains(words) && !answer.stderr.contains("panicked"), "{command:?}: {answer:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_nobodys_fault() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    for command in [&["status"][..], &["status", "--json"], &["target", "show"], &["--help"], &["man"], &["completions", "bash"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = device.prepared(command).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("panicked"), "{command:?}: {} {said}", output.status);
    }
}

#[test]
fn a_terminal_is_respected() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    // `script` gives it a terminal.
    let on_terminal = |variables: &[(&str, &str)]| {
        let binary = crate::support::binary().into_string().unwrap();
        let mut command = device.prepared(&[]);
        let environment: Vec<(std::ffi::OsString, std::ffi::OsString)> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        command = std::process::Command::new("script");
        command.env_clear().envs(environment).envs(variables.iter().copied());
        let output = command.args(["-qec", &format!("{binary} status"), "/dev/null"]).stdin(std::process::Stdio::null()).output();
        let output = output.expect("script is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(on_terminal(&[("TERM", "xterm")]).contains("\x1b["), "colours");
    for plain in [&[("TERM", "xterm"), ("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[]] {
        assert!(!on_terminal(plain).contains('\x1b'), "{plain:?}");
    }
    let narrow = on_terminal(&[("TERM", "dumb"), ("COLUMNS", "44")]);
    assert!(narrow.lines().count() > device.command(&["status"]).stdout.lines().count(), "{narrow}");
    assert!(!device.command(&["status"]).stdout.contains('\x1b'));
}

#[test]
fn an_update_is_waited_for() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("one").service("main", Service::new(&image));
    device.join(&cloud);
    cloud.want(&[(&app, &release)]);
    let waited = device.command(&["update", "--wait"]);
    assert!(waited.code == 0 && !waited.stdout.contains('\x1b'), "{waited:?}");
    assert_eq!(device.running_services(), ["main"], "{waited:?}");
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
    let second = device.command(&["run", "--socket", &device.path("second.sock").display().to_string()]);
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
