//! The cloud in every bad shape: the device goes on with what it has, says what is wrong, and takes up the new target as
//! soon as it can be had.

use std::time::Duration;

use crate::support::{
    App, Cloud, Device, Failure, check, device_target, numbered_release as release, simulated_and_settled, wait_for,
};
use serde_json::{Value, json};

/// While the cloud is like this a new target does not arrive, the status mentions these words, the first release goes on;
/// afterwards the target arrives.
fn survives(spoil: impl FnOnce(&Cloud), words: &[&str]) {
    let (cloud, device, app) = simulated_and_settled();
    spoil(&cloud);
    cloud.want(&[(&app, &release(2))]);
    device.wait_status(words);
    assert_eq!(device.running_services(), ["db", "main"]);
    assert_eq!(device.get("/ping").status, 200);
    assert_eq!(device.get("/v1/healthy").status, 200, "the network's trouble is not the agent's");
    assert!(!device.status().contains(&release(2).commit), "nothing of the second release got through");
    cloud.heal();
    cloud.wait_settled(&app, &release(2));
    wait_for("the trouble to be over in the status", || {
        let status = device.status();
        check(!words.iter().all(|word| status.contains(word)), status)
    });
}

/// The status has an error text for the last poll.
const POLL_FAILED: &str = "\"poll_error\":\"";

#[test]
fn a_cloud_that_is_away() {
    survives(Cloud::go_away, &[POLL_FAILED]);
}

#[test]
fn a_cloud_that_hangs_up() {
    survives(|cloud| cloud.fail(Failure::HangUp), &[POLL_FAILED]);
}

#[test]
fn a_cloud_that_answers_500() {
    survives(|cloud| cloud.fail(Failure::Status(500)), &["answered 500"]);
}

#[test]
fn a_cloud_that_answers_with_a_web_page() {
    survives(|cloud| cloud.fail(Failure::Html), &["not JSON"]);
}

#[test]
fn a_cloud_that_answers_with_half_a_body() {
    survives(|cloud| cloud.fail(Failure::HalfBody), &["broke off"]);
}

#[test]
fn a_cloud_that_answers_with_more_than_the_agent_takes() {
    survives(|cloud| cloud.fail(Failure::Oversize { bytes: 17 * 1024 * 1024 }), &["larger than 16777216 bytes"]);
}

#[test]
fn a_cloud_that_does_not_know_this_device() {
    let (cloud, device, app) = simulated_and_settled();
    cloud.set_whole_target(json!({ "ffff": { "name": "other", "config": {}, "apps": {} } }));
    device.wait_status(&["no entry for this device"]);
    assert_eq!(device.running_services(), ["db", "main"], "the previous target stays in force");
    cloud.want(&[(&app, &release(2))]);
    cloud.wait_settled(&app, &release(2));
}

#[test]
fn a_slow_cloud_holds_nothing_else_up() {
    let (cloud, device, app) = simulated_and_settled();
    cloud.delay(Duration::from_secs(4));
    cloud.want(&[(&app, &release(2))]);
    let begin = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(device.get("/ping").status, 200);
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "the local API waits for no cloud");
    cloud.wait_settled(&app, &release(2));
}

#[test]
fn a_busy_clouds_retry_after_is_honoured_in_seconds() {
    let (cloud, device, app) = simulated_and_settled();
    cloud.fail(Failure::TooManyRequests { retry_after_s: 4 });
    cloud.want(&[(&app, &release(2))]);
    device.wait_status(&["answered 429"]);
    let before = cloud.polls().len();
    cloud.wait_polls(1);
    let polls = cloud.polls();
    let pause = polls[before].at - polls[before - 1].at;
    assert!(pause >= Duration::from_secs(4), "asked again after {pause:?}");
    cloud.heal();
    cloud.wait_settled(&app, &release(2));
}

#[test]
fn a_restart_costs_a_304_and_no_body() {
    let (cloud, mut device, app) = simulated_and_settled();
    let (status, _) = device.stop();
    assert!(status.success(), "{status}");
    let before = cloud.polls().len();
    device.start();
    wait_for("the first poll to be answered", || check(cloud.polls().get(before).is_some_and(|p| p.status != 0), "not yet"));
    let first = &cloud.polls()[before];
    assert!(first.if_none_match.is_some(), "the ETag is stored beside the target: {first:?}");
    assert_eq!(first.status, 304);
    assert!(first.user_agent.as_deref().is_some_and(|agent| agent.contains("holdfast")), "{first:?}");
    cloud.want(&[(&app, &release(2))]);
    cloud.wait_settled(&app, &release(2));
}

#[test]
fn a_bad_app_is_refused_alone() {
    let (cloud, device, good) = simulated_and_settled();
    // Container names carry the release's numbers, which a cloud gives once: each app has its own.
    let bad = App::new();
    cloud.want(&[(&good, &release(1)), (&bad, &release(11))]);
    cloud.wait_settled(&bad, &release(11));

    let mut target = device_target(&[(&good, &release(2)), (&bad, &release(13))], &[]);
    let commit = release(13).commit;
    target["apps"][&bad.uuid]["releases"][&commit]["services"]["main"]["image"] = json!(7);
    target["apps"][&bad.uuid]["releases"][&commit]["services"]["db"]["environment"] = json!({ "not a name": "x" });
    cloud.set_target(target);

    cloud.wait_settled(&good, &release(2));
    device.wait_status(&["services.main.image", "services.db.environment"]);
    assert_eq!(device.running_services(), ["db", "db", "main", "main"], "the refused app's running release is left as it is");
    cloud.want(&[(&good, &release(2)), (&bad, &release(13))]);
    cloud.wait_settled(&bad, &release(13));
}

#[test]
fn the_first_install_waits_for_the_cloud() {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let app = App::new();
    cloud.want(&[(&app, &release(1))]);
    cloud.go_away();
    device.join(&cloud);
    device.wait_status(&[POLL_FAILED]);
    assert_eq!(device.running_services(), Vec::<String>::new());
    cloud.heal();
    cloud.wait_settled(&app, &release(1));
}

#[test]
fn reports_carry_only_what_changed() {
    let (cloud, _device, app) = simulated_and_settled();
    let reports = cloud.reports();
    assert!(reports[0].get("supervisor_version").is_some_and(Value::is_string), "{}", reports[0]);
    assert!(reports[1..].iter().all(|report| report.get("supervisor_version").is_none()), "{reports:?}");
    let before = reports.len();
    cloud.want(&[(&app, &release(2))]);
    cloud.wait_settled(&app, &release(2));
    let after = cloud.reports();
    assert!(after[before..].iter().all(|report| report.get("apps").is_some() || report.get("status").is_some()), "{after:?}");
}
