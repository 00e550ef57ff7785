//! `holdfast demo` on the simulated engine: nothing set up, no root, no Docker.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Answer, Device};

fn demo(arguments: &[&str]) -> Answer {
    let mut all = vec!["demo", "--engine", "sim", "--exit"];
    all.extend(arguments);
    Device::simulated().command(&all)
}

#[test]
fn it_shows_the_main_job_and_ends_well() {
    let shown = demo(&[]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let text = shown.stdout.to_lowercase();
    for stage in ["simulated", "install", "lock", "update", "report"] {
        assert!(text.contains(stage), "nothing is said of \"{stage}\": {}", shown.stdout);
    }
}

#[test]
fn its_json_is_for_machines() {
    let shown = demo(&["--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().filter(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty());
    let all_json = lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
    assert!(all_json || serde_json::from_str::<serde_json::Value>(&shown.stdout).is_ok(), "{}", shown.stdout);
}
