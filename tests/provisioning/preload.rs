//! A device that comes with a preload runs it before it has joined, and stays at its release where the preload says so.

use holdfast::sandbox::cloud::{Behaviour, Endpoint, Moment};
use serde_json::{Value, json};

use super::UUID;
use crate::support::{App, Cut, FLEET_KEY, Failure, Flashed, Release, Service, check, device_target, stored, wait_for};

/// A device with a preload, of which its fleet is to run the same: that, its app and its release.
struct Preloaded {
    flashed: Flashed,
    app: App,
    release: Release,
    entry: Value,
}

fn preloaded(more: &Value, pin: bool) -> Preloaded {
    let mut flashed = Flashed::new(more);
    flashed.device.set("HOLDFAST_HOST_ROOT", &flashed.device.path("root").display().to_string());
    let app = App::new();
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let release = Release::new("first").service("main", Service::new(&image));
    let entry = device_target(&[(&app, &release)], &[]);
    std::fs::create_dir_all(flashed.device.path("root/mnt/data")).unwrap();
    let preload = json!({ "config": entry["config"], "apps": entry["apps"], "pinDevice": pin });
    std::fs::write(flashed.device.path("root/mnt/data/apps.json"), preload.to_string()).unwrap();
    Preloaded { flashed, app, release, entry }
}

/// One that wants to stay at its release, and whose cloud lets it in.
fn to_be_pinned(more: &Value) -> (Flashed, App, Release) {
    let Preloaded { flashed, app, release, entry } = preloaded(more, true);
    flashed.cloud.accept_devices(FLEET_KEY, entry);
    (flashed, app, release)
}

/// Where the first request of this kind stands among all there were.
fn first_of(flashed: &Flashed, method: &str, of_path: &str) -> Option<usize> {
    flashed.cloud.requests().iter().position(|seen| seen.method == method && seen.path.contains(of_path))
}

#[test]
fn a_preloaded_device_is_pinned_before_it_polls_wherever_it_is_cut_off() {
    let known = json!({ "uuid": UUID, "deviceApiKey": "known", "deviceId": 70, "registered_at": 1700000000, "apiKey": null });
    // One that has joined already only asks for the release and pins itself.
    for (more, least) in [(Value::Null, 3), (known, 2)] {
        let mut calls = 0;
        for at in [Moment::Arrived, Moment::Decided] {
            for nth in 0.. {
                let (mut flashed, app, release) = to_be_pinned(&more);
                flashed.cloud.have_release(app.id, "another");
                let id = flashed.cloud.have_release(app.id, &release.commit);
                if more.is_object() {
                    flashed.list(UUID, "known", false);
                }
                let cut = flashed.cut_before(Cut::Call(nth, at), |flashed| first_of(flashed, "GET", "/device/v3/").is_some());
                flashed.device.start();
                assert_eq!(flashed.wait_joined().pinned, Some(id), "at call {nth}, {at:?}");
                assert!(first_of(&flashed, "PATCH", "/v7/device(") < first_of(&flashed, "GET", "/device/v3/"), "pinned first");
                if !cut {
                    break;
                }
                calls += 1;
            }
        }
        assert!(calls >= 2 * least, "{calls}");
    }
}

#[test]
fn a_cloud_in_trouble_is_asked_again_and_one_without_the_release_keeps_nobody_out() {
    let (mut flashed, app, release) = to_be_pinned(&Value::Null);
    let id = flashed.cloud.have_release(app.id, &release.commit);
    let failure = Some(Failure::Status(503));
    let only = Some(Endpoint::Release);
    flashed.cloud.set_behaviour(Behaviour { failure, only, times: Some(3), ..Behaviour::default() });
    flashed.device.start();
    assert_eq!(flashed.wait_joined().pinned, Some(id));
    // Once is enough: somebody may pin it elsewhere since, in the cloud.
    wait_for("the wish to be forgotten", || {
        let left = stored(&flashed.device, "SELECT value FROM value WHERE name = 'pinDevice'");
        check(left.is_empty(), format!("{left:?}"))
    });
    let pins = |flashed: &Flashed| flashed.cloud.requests().iter().filter(|seen| seen.path.contains("/v7/device(")).count();
    let before = pins(&flashed);
    flashed.device.kill();
    flashed.device.start();
    flashed.device.wait_status(&["\"last_poll\":{"]);
    assert_eq!(pins(&flashed), before);

    let (mut flashed, ..) = to_be_pinned(&Value::Null);
    flashed.device.start();
    assert_eq!(flashed.wait_joined().pinned, None);
    assert!(flashed.device.log().contains("it follows its fleet: the cloud knows no such release"));
}

#[test]
fn a_flashed_device_runs_its_preload_before_it_has_joined() {
    let Preloaded { mut flashed, entry, .. } = preloaded(&Value::Null, false);
    flashed.cloud.set_behaviour(Behaviour::failing(Failure::Status(503)));
    let runs = |flashed: &Flashed| {
        wait_for("the service to run", || {
            let running = flashed.device.running_services();
            check(running == ["main"], format!("{running:?}"))
        });
    };
    flashed.device.start();
    runs(&flashed);
    let uuid = flashed.config().unwrap()["uuid"].clone();
    flashed.device.kill();
    flashed.device.start();
    runs(&flashed);
    assert_eq!(flashed.config().unwrap()["uuid"], uuid, "the preloaded target is stored for this uuid");
    flashed.cloud.accept_devices(FLEET_KEY, entry);
    flashed.cloud.set_behaviour(Behaviour::default());
    assert_eq!(flashed.wait_joined().uuid, uuid);
    runs(&flashed);
}
