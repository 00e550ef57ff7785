//! `holdfast demo` on the simulated engine: nothing set up, no root, no Docker.

use crate::support::{Answer, Device};
use serde_json::Value;

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
    let lines = shown.stdout.lines().filter(|line| !line.is_empty());
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    assert!(events.iter().all(|event| event["ok"] != false), "{events:?}");
    let mut seen = events.iter().filter_map(|event| event["stage"].as_str());
    for stage in ["start-agent", "install", "update-held", "update-released", "report"] {
        assert!(seen.any(|s| s == stage), "no stage {stage} in its place: {}", shown.stdout);
    }
}
