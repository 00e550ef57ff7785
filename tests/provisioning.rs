//! Devices that join their cloud: fresh ones, ones that lost something, ones whose uuid is another's; with every trouble the
//! cloud can make, and with their plug pulled at every step. Each ends on the cloud's list exactly once.
// runs: beside the others

mod preload;

use std::time::Duration;

use crate::support::{Cut, Device, Failure, Flashed, check, device_target, long_run, wait_for};
use holdfast::sandbox::cloud::{Behaviour, Endpoint, Moment};
use serde_json::{Value, json};

const UUID: &str = "0123456789abcdef0123456789abcdef";

/// What a device may come with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    /// An image as it was downloaded.
    Fresh,
    /// Registered, but the answer never came.
    LostAnswer,
    /// Flashed anew under a uuid that the fleet knows with another key.
    LostKey,
    /// Under a uuid that is somebody else's.
    Foreign,
    /// Known to the cloud, with a provisioning key put back into config.json.
    Known,
}

impl Story {
    fn begin(self) -> Flashed {
        let more = match self {
            Story::Fresh | Story::LostAnswer => json!({ "initialDeviceName": "hall" }),
            Story::LostKey | Story::Foreign => json!({ "uuid": UUID }),
            Story::Known => json!({ "uuid": UUID, "deviceApiKey": "known", "deviceId": 70, "registered_at": 1700000000 }),
        };
        let flashed = Flashed::new(&more);
        match self {
            Story::Fresh => {}
            Story::LostAnswer => flashed.cloud.set_behaviour(lost_answer()),
            Story::LostKey => flashed.list(UUID, "lost", false),
            Story::Foreign => flashed.list(UUID, "theirs", true),
            Story::Known => flashed.list(UUID, "known", false),
        }
        flashed
    }

    /// Starts the device for good and looks at how the story ended.
    fn end(self, flashed: &mut Flashed) {
        flashed.device.start();
        let ours = flashed.wait_joined();
        let new = flashed.registered();
        let expected = usize::from(!matches!(self, Story::LostKey | Story::Known));
        assert_eq!(new.len(), expected, "{self:?}: devices registered: {new:?}");
        match self {
            Story::Fresh | Story::LostAnswer => assert_eq!(ours.name.as_deref(), Some("hall")),
            Story::LostKey | Story::Known => assert_eq!((ours.uuid.as_str(), ours.id), (UUID, 70)),
            Story::Foreign => {
                assert_ne!(ours.uuid, UUID);
                let theirs = &flashed.cloud.devices()[0];
                assert_eq!((theirs.uuid.as_str(), theirs.key.as_str()), (UUID, "theirs"), "what is theirs stays theirs");
            }
        }
        flashed.device.check_database();
    }
}

fn lost_answer() -> Behaviour {
    let failure = Some(Failure::HangUp);
    Behaviour { failure, only: Some(Endpoint::Register), times: Some(1), late: true, ..Behaviour::default() }
}

/// So many points of a story are tried side by side: most of the time a device waits for its next attempt.
const SIDE_BY_SIDE: usize = 3;

/// Pulls the plug at points numbered from 0 until there are no more, and says how many there were.
fn pull_at_each(story: Story, stride: usize, cut: impl Fn(usize) -> Cut + Sync) -> usize {
    let every = |first: usize| {
        let pulled = (first..).step_by(SIDE_BY_SIDE).take_while(|point| {
            let mut flashed = story.begin();
            let pulled = flashed.cut(cut(point * stride));
            if pulled {
                story.end(&mut flashed);
            }
            pulled
        });
        pulled.count()
    };
    std::thread::scope(|scope| {
        let every = &every;
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|first| scope.spawn(move || every(first))).collect();
        workers.into_iter().map(|worker| worker.join().expect("what it says went wrong")).sum()
    })
}

fn pull_everywhere(story: Story) {
    let stride = if long_run() || story == Story::Fresh { 1 } else { 4 };
    let calls: usize = [Moment::Arrived, Moment::Decided].iter().map(|at| pull_at_each(story, 1, |n| Cut::Call(n, *at))).sum();
    let files = pull_at_each(story, stride, Cut::File);
    println!(
        "{story:?}: the plug was pulled at {calls} moments of calls and {files} of files; registered exactly once each time"
    );
    let (least_calls, least_files) = match story {
        Story::Fresh => (4, 20),
        Story::LostAnswer => (8, 5),
        Story::LostKey => (8, 5),
        Story::Foreign => (14, 8),
        Story::Known => (2, 3),
    };
    assert!(calls >= least_calls && files >= least_files, "{story:?}: {calls} calls, {files} files");
}

#[test]
fn a_fresh_device_is_cut_off_at_every_step() {
    pull_everywhere(Story::Fresh);
}

#[test]
fn a_device_whose_registrations_answer_was_lost_is_cut_off_at_every_step() {
    pull_everywhere(Story::LostAnswer);
}

#[test]
fn a_device_that_lost_its_key_is_cut_off_at_every_step() {
    pull_everywhere(Story::LostKey);
}

#[test]
fn a_device_with_anothers_uuid_is_cut_off_at_every_step() {
    pull_everywhere(Story::Foreign);
}

#[test]
fn a_known_device_is_cut_off_at_every_step() {
    pull_everywhere(Story::Known);
}

#[test]
fn devices_are_cut_off_again_and_again_at_any_time() {
    let (devices, mut cuts) = (if long_run() { 40 } else { 6 }, 0);
    let stories = [Story::Fresh, Story::LostAnswer, Story::LostKey, Story::Foreign, Story::Known];
    for number in 0..devices {
        let story = stories[number % stories.len()];
        let mut flashed = story.begin();
        for _ in 0..4 {
            cuts += usize::from(flashed.cut(Cut::After(Duration::from_micros(fastrand::u64(0..150_000)))));
        }
        story.end(&mut flashed);
    }
    println!("{devices} devices were cut off {cuts} times at random; each registered exactly once");
}

/// What FAT may make of config.json, between a registration and its note.
#[test]
fn a_torn_config_json_costs_no_second_registration() {
    type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;
    let damages: [(&str, Damage); 6] = [
        ("gone", |_| None),
        ("empty", |_| Some(Vec::new())),
        ("one byte", |text| Some(text[..1].to_vec())),
        ("half", |text| Some(text[..text.len() / 2].to_vec())),
        ("all but its end", |text| Some(text[..text.len() - 2].to_vec())),
        ("half and zeros", |text| Some([&text[..text.len() / 2], &[0; 512]].concat())),
    ];
    for (name, damage) in damages {
        let mut flashed = Story::Fresh.begin();
        assert!(flashed.cut(Cut::Call(0, Moment::Decided)), "the registration is made, its answer not read");
        let path = flashed.device.path("config.json");
        match damage(std::fs::read(&path).unwrap()) {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        println!("config.json {name}");
        Story::Fresh.end(&mut flashed);
    }
}

#[test]
fn every_trouble_of_the_cloud_is_outlived() {
    let failures = [
        Failure::Status(500),
        Failure::Status(401),
        Failure::Status(403),
        Failure::TooManyRequests { retry_after_s: 1 },
        Failure::Html,
        Failure::HalfBody,
        Failure::Oversize { bytes: 1024 * 1024 },
        Failure::HangUp,
    ];
    std::thread::scope(|scope| {
        for failure in &failures {
            scope.spawn(move || outlived(failure));
        }
    });
}

/// A trouble, with the request lost and with the answer lost.
fn outlived(failure: &Failure) {
    for (story, late) in [(Story::Fresh, false), (Story::LostKey, false), (Story::Fresh, true), (Story::LostKey, true)] {
        let only = if story == Story::Fresh { Endpoint::Register } else { Endpoint::DeviceKey };
        if only == Endpoint::DeviceKey && matches!(failure, Failure::Status(401 | 403)) {
            // There it means that the key may not be had, not that something went wrong.
            continue;
        }
        let mut flashed = story.begin();
        let failure = Some(failure.clone());
        flashed.cloud.set_behaviour(Behaviour { failure, only: Some(only), times: Some(1), late, ..Behaviour::default() });
        story.end(&mut flashed);
    }
}

#[test]
fn a_device_that_waits_says_what_it_is_at_and_can_be_hurried() {
    let mut flashed = Flashed::new(&json!({ "bootstrapRetryDelay": 3_600_000 }));
    flashed.cloud.set_behaviour(Behaviour::failing(Failure::Status(503)));
    flashed.device.start();
    let endpoint = flashed.cloud.endpoint();
    flashed.device.wait_status(&[&format!("registering with {endpoint}"), "answered 503", "\"next_try\":{"]);
    assert_eq!(flashed.device.get("/ping").status, 200);
    assert_eq!(flashed.device.get("/v1/healthy").status, 200, "the network's trouble is not the agent's");
    let shown = flashed.device.command(&["status"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [&format!("registering with {endpoint}, last error"), "answered 503", "next try in"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let requests = flashed.cloud.requests();
    assert!(requests.iter().all(|seen| seen.path == "/device/register"), "nothing else is asked before: {requests:?}");

    flashed.cloud.set_behaviour(Behaviour::default());
    assert_eq!(flashed.device.command(&["update"]).code, 0);
    flashed.wait_joined();
    wait_for("the status to say no more of it", || {
        let status = flashed.device.status();
        check(status.contains("\"provisioning\":null") && status.contains("\"last_poll\":{"), status)
    });
}

#[test]
fn patience_that_the_cloud_asks_for_is_had() {
    let mut flashed = Flashed::new(&Value::Null);
    let failure = Some(Failure::TooManyRequests { retry_after_s: 4 });
    flashed.cloud.set_behaviour(Behaviour { failure, times: Some(1), ..Behaviour::default() });
    flashed.device.start();
    flashed.wait_joined();
    let requests = flashed.cloud.requests();
    let tries: Vec<Duration> = requests.iter().filter(|s| s.path == "/device/register").map(|s| s.at).collect();
    assert_eq!(tries.len(), 2);
    assert!(tries[1] - tries[0] >= Duration::from_secs(4), "{tries:?}");
}

#[test]
fn a_registration_says_what_the_device_is() {
    let mut flashed = Story::Fresh.begin();
    flashed.device.start();
    let ours = flashed.wait_joined();
    let registration = &ours.registration;
    let expected = json!({ "application": 5, "user": 3, "device_type": "generic-amd64", "supervisor_version": "19.0.5" });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&registration[name], value, "{registration}");
    }
    wait_for("a report with measurements", || {
        let reports = flashed.cloud.device();
        let known = reports["memory_total"].as_u64().is_some_and(|mib| mib > 0) && reports["cpu_usage"].is_u64();
        check(known && reports["is_undervolted"].is_boolean() && reports["storage_block_device"].is_string(), reports)
    });
}

#[test]
fn an_edit_while_the_device_waits_is_followed() {
    let mut flashed = Flashed::new(&json!({ "applicationId": null, "uuid": UUID }));
    flashed.device.start();
    flashed.device.wait_status(&["applicationId in config.json"]);
    let mut config = flashed.config().unwrap();
    assert_eq!(config["uuid"], UUID);
    config["applicationId"] = json!(5);
    flashed.device.write_config(&config);
    let ours = flashed.wait_joined();
    assert_eq!((ours.uuid.as_str(), flashed.registered().len()), (UUID, 1));
}

#[test]
fn an_unmanaged_device_stays_as_it_is() {
    let mut device = Device::simulated();
    let config = json!({ "apiKey": "k", "deviceType": "generic-amd64" });
    device.write_config(&config);
    device.start();
    device.wait_status(&["\"no-target\""]);
    let status = device.status();
    assert!(status.contains("\"provisioning\":null") && status.contains("\"endpoint\":\"\""), "{status}");
    assert_eq!(std::fs::read_to_string(device.path("config.json")).unwrap(), config.to_string());
}

#[test]
fn a_device_that_has_joined_gets_its_target() {
    let mut flashed = Story::Fresh.begin();
    let app = crate::support::App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = crate::support::Release::new("first").service("main", crate::support::Service::new(&image));
    flashed.cloud.accept_devices(crate::support::FLEET_KEY, device_target(&[(&app, &release)], &[]));
    flashed.device.start();
    flashed.wait_joined();
    wait_for("the service to run", || {
        let running = flashed.device.running_services();
        check(running == ["main"], format!("{running:?}"))
    });
}
