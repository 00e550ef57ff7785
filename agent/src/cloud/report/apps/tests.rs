//! What is said of applications, from pictures made by hand.

use std::collections::BTreeMap;

use holdfast_plan::container::{ContainerSpec, Options};
use holdfast_plan::current::{Container, ContainerState, Current, Image};
use holdfast_plan::memory::{ImageRecord, Memory, Settled};
use holdfast_plan::plan::{Action, Named, Reason, Step};
use holdfast_plan::target::{AppClass, DeviceTarget, NetworkChoice, Service};

use super::*;
use crate::cloud::report::InFlight;

const APP: &str = "11111111222222223333333344444444";
const COMMIT: &str = "aaaabbbbccccddddaaaabbbbccccdddd";

fn image(service: &str) -> ImageRef {
    format!("r.example.com/v2/{service}@sha256:{}", digest(service)).parse().unwrap()
}

fn digest(service: &str) -> String {
    let hex: String = service.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{hex:0<64}")
}

fn wanted(name: &str) -> Service {
    Service {
        name: name.into(),
        id: 1,
        image_id: 2,
        image: image(name),
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        running: true,
        contract: None,
        depends_on: BTreeMap::new(),
        network_mode: NetworkChoice::Bridge,
        networks: BTreeMap::new(),
        ports: Default::default(),
        expose: Default::default(),
        mounts: Default::default(),
        hostname: None,
        options: Options::default(),
        unsupported: Vec::new(),
    }
}

fn container(service: &str, commit: &str, state: ContainerState) -> Container {
    Container {
        id: format!("id-{service}-{commit}"),
        app_id: 5,
        app_uuid: Some(APP.into()),
        service: service.into(),
        service_id: Some(1),
        commit: commit.into(),
        release_id: Some(3),
        cloud_image_id: Some(2),
        handing_over: false,
        image_id: format!("sha256:{service}"),
        created_ms: 1000,
        started_ms: None,
        finished_ms: None,
        state,
        exit_code: 0,
        error: String::new(),
        health: None,
        restart_count: 0,
        spec: std::sync::Arc::new(ContainerSpec { name: format!("{service}_2_3_{commit}"), ..ContainerSpec::default() }),
        image_config: None,
    }
}

/// A device with one app of one service `main`, nothing there yet.
struct Device {
    target: DeviceTarget,
    current: Current,
    memory: Memory,
    steps: Vec<(Step, Option<u8>)>,
}

impl Device {
    fn new(services: &[&str]) -> Device {
        let release = Release {
            commit: COMMIT.into(),
            id: 3,
            services: services.iter().map(|name| ((*name).to_owned(), wanted(name))).collect(),
            ..Release::default()
        };
        let app = App {
            id: 5,
            uuid: APP.into(),
            name: "fleet".into(),
            class: AppClass::Fleet,
            release: Some(release),
            ..App::default()
        };
        let target = DeviceTarget { apps: BTreeMap::from([(APP.to_owned(), app)]), ..DeviceTarget::default() };
        Device { target, current: Current::default(), memory: Memory::default(), steps: Vec::new() }
    }

    fn with_image(mut self, service: &str) -> Device {
        let text = image(service).to_string();
        self.current.engine.images.push(Image { id: format!("sha256:{service}"), digests: vec![text], ..Image::default() });
        self
    }

    fn with(mut self, container: Container) -> Device {
        self.current.engine.containers.push(container);
        self
    }

    fn doing(mut self, action: Action, progress: Option<u8>) -> Device {
        self.steps
            .push((Step { action, app: Some("fleet".into()), service: Some("main".into()), why: Reason::NotThereYet }, progress));
        self
    }

    fn apps(&self) -> Value {
        let in_flight: Vec<InFlight<'_>> =
            self.steps.iter().map(|(step, progress)| InFlight { step, progress: *progress }).collect();
        let (target, current, memory) = (&self.target, &self.current, &self.memory);
        Value::Object(apps(&Picture {
            target,
            current,
            memory,
            in_flight: &in_flight,
            rejected: &std::collections::BTreeSet::new(),
        }))
    }

    /// Status of `main` and update status of the release.
    fn said(&self) -> (String, String) {
        let release = &self.apps()[APP]["releases"][COMMIT];
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        (word(&release["services"]["main"]["status"]), word(&release["update_status"]))
    }
}

fn fetch() -> Action {
    Action::Fetch { image: image("main"), app_uuid: APP.into(), service: "main".into() }
}

fn create(start: bool) -> Action {
    Action::Create {
        spec: Box::new(ContainerSpec {
            name: format!("main_2_3_{COMMIT}"),
            labels: BTreeMap::from([("io.balena.app-uuid".to_owned(), APP.to_owned())]),
            ..ContainerSpec::default()
        }),
        start,
    }
}

#[test]
fn a_first_install_from_nothing_to_done() {
    let said = |device: Device| device.said();
    let words = |status: &str, update: &str| (status.to_owned(), update.to_owned());
    let device = || Device::new(&["main"]);
    assert_eq!(said(device()), words("Downloading", "downloading"));
    assert_eq!(said(device().doing(fetch(), Some(40))), words("Downloading", "downloading"));
    assert_eq!(said(device().with_image("main")), words("Downloaded", "downloaded"));
    assert_eq!(said(device().with_image("main").doing(create(true), None)), words("Installing", "applying changes"));
    let made = || device().with_image("main").with(container("main", COMMIT, ContainerState::Created));
    assert_eq!(said(made()), words("Installed", "applying changes"));
    assert_eq!(said(made().doing(create(true), None)), words("Starting", "done"));
    let start = Action::Start {
        container: Named { id: format!("id-main-{COMMIT}"), name: String::new(), app_id: 5, service: "main".into() },
    };
    assert_eq!(said(made().doing(start, None)), words("Starting", "done"));
    assert_eq!(said(device().with(container("main", COMMIT, ContainerState::Running))), words("Running", "done"));
}

#[test]
fn the_whole_of_a_download() {
    assert_eq!(
        Device::new(&["main"]).doing(fetch(), Some(40)).apps(),
        json!({ APP: { "releases": { COMMIT: { "update_status": "downloading", "services": {
            "main": { "image": image("main").to_string(), "status": "Downloading", "download_progress": 40 },
        } } } } })
    );
}

#[test]
fn every_state_of_the_engine_has_its_word() {
    for (state, word) in [
        (ContainerState::Created, "Installed"),
        (ContainerState::Running, "Running"),
        (ContainerState::Paused, "paused"),
        (ContainerState::Restarting, "restarting"),
        (ContainerState::Removing, "removing"),
        (ContainerState::Exited, "exited"),
        (ContainerState::Dead, "Dead"),
    ] {
        assert_eq!(Device::new(&["main"]).with(container("main", COMMIT, state)).said().0, word);
    }
    let named = Named { id: format!("id-main-{COMMIT}"), name: String::new(), app_id: 5, service: "main".into() };
    let running = || Device::new(&["main"]).with(container("main", COMMIT, ContainerState::Running));
    assert_eq!(running().doing(Action::Kill { container: named.clone() }, None).said().0, "Stopping");
    assert_eq!(running().doing(Action::Stop { container: named }, None).said().0, "Stopping");
}

#[test]
fn a_release_is_as_far_as_its_last_service() {
    let device = Device::new(&["main", "other"]).with(container("main", COMMIT, ContainerState::Running));
    assert_eq!(device.said(), ("Running".into(), "downloading".into()));
    assert_eq!(device.with_image("other").said().1, "downloaded");
    assert_eq!(Device::new(&[]).apps()[APP]["releases"][COMMIT]["update_status"], "done");
}

#[test]
fn an_old_release_and_left_over_images_are_not_mentioned() {
    let mut device = Device::new(&["main"])
        .with_image("main")
        .with_image("stale")
        .with(container("main", "oldcommit", ContainerState::Running))
        .with(container("gone", COMMIT, ContainerState::Running));
    let record = ImageRecord {
        image: image("stale"),
        engine_id: "sha256:stale".into(),
        app_uuid: APP.into(),
        service: "stale".into(),
        size_bytes: 1,
        pulled_ms: None,
    };
    device.memory.images.insert("stale".into(), record);
    device.memory.settled.insert("another app".into(), Settled { app_id: 9, commit: "x".into(), ..Settled::default() });
    device.memory.settled.insert(APP.into(), Settled { app_id: 5, commit: "oldcommit".into(), ..Settled::default() });
    let release = json!({ "update_status": "downloaded", "services": {
        "main": { "image": image("main").to_string(), "status": "Downloaded" },
    } });
    assert_eq!(device.apps(), json!({ APP: { "release_uuid": "oldcommit", "releases": { COMMIT: release } } }));
}

#[test]
fn an_image_is_known_by_its_record_or_its_digest_under_any_name() {
    let mut device = Device::new(&["main"]);
    let digests = vec![format!("mirror.example.org/x@sha256:{}", digest("main"))];
    device.current.engine.images.push(Image { id: "sha256:e".into(), digests, ..Image::default() });
    assert_eq!(device.said().0, "Downloaded");
    device.current.engine.images[0].digests.clear();
    assert_eq!(device.said().0, "Downloading");
    let record = ImageRecord {
        image: image("main"),
        engine_id: "sha256:e".into(),
        app_uuid: APP.into(),
        service: "main".into(),
        size_bytes: 1,
        pulled_ms: None,
    };
    device.memory.images.insert("main".into(), record);
    assert_eq!(device.said().0, "Downloaded");
}

#[test]
fn both_sides_of_a_hand_over() {
    let old = |commit: &str| Container { handing_over: true, ..container("main", commit, ContainerState::Running) };
    let new = Container { id: "new".into(), created_ms: 2000, ..container("main", COMMIT, ContainerState::Running) };
    let device = Device::new(&["main"]).with(old("oldcommit")).with(new.clone());
    assert_eq!(device.said(), ("Awaiting handover".into(), "applying changes".into()));
    let same_release = Device::new(&["main"]).with(new).with(old(COMMIT));
    assert_eq!(same_release.said().0, "Awaiting handover");
    let alone = Device::new(&["main"]).with(old(COMMIT));
    assert_eq!(alone.said(), ("Running".into(), "done".into()));
    let other = Container { created_ms: 2000, ..container("main", "othercommit", ContainerState::Running) };
    let back_again = Device::new(&["main"]).with(container("main", COMMIT, ContainerState::Running)).with(other);
    assert_eq!(back_again.said().0, "Handing over");
}

#[test]
fn a_service_that_is_wanted_stopped_is_done_when_it_is_made() {
    let mut device = Device::new(&["main"]).with(container("main", COMMIT, ContainerState::Created));
    device.target.apps.get_mut(APP).unwrap().release.as_mut().unwrap().services.get_mut("main").unwrap().running = false;
    assert_eq!(device.said(), ("Installed".into(), "done".into()));
}

#[test]
fn containers_of_old_agents_are_known_by_their_numbers() {
    let old = Container { app_uuid: None, ..container("main", "", ContainerState::Running) };
    assert_eq!(Device::new(&["main"]).with(old.clone()).said().0, "Running");
    let other_release = Container { release_id: Some(2), ..old.clone() };
    assert_eq!(Device::new(&["main"]).with(other_release).said().0, "Downloading");
    let other_app = Container { app_id: 6, ..old };
    assert_eq!(Device::new(&["main"]).with(other_app).said().0, "Downloading");
}

#[test]
fn refused_apps_are_rejected_and_apps_without_a_release_or_of_the_host_are_silent() {
    let mut device = Device::new(&["main"]);
    let app = device.target.apps[APP].clone();
    device.target.apps.insert("none".into(), App { uuid: "none".into(), release: None, ..app.clone() });
    device.target.apps.insert("host".into(), App { uuid: "host".into(), is_host: true, ..app });
    let refused = |commit: Option<&str>| holdfast_plan::target::RefusedApp {
        id: None,
        name: None,
        commit: commit.map(str::to_owned),
        offences: Vec::new(),
    };
    device.target.refused.insert("bad".into(), refused(Some("c")));
    device.target.refused.insert("worse".into(), refused(None));
    device.memory.settled.insert("bad".into(), Settled { app_id: 8, commit: "before".into(), ..Settled::default() });
    let apps = device.apps();
    assert_eq!(apps.as_object().unwrap().keys().collect::<Vec<_>>(), [APP, "bad"]);
    assert_eq!(
        apps["bad"],
        json!({ "release_uuid": "before", "releases": { "c": { "update_status": "rejected", "services": {} } } })
    );
}

#[test]
fn an_image_is_named_as_the_target_names_it() {
    let digest = digest("x");
    for text in ["alpine", "alpine:3", &format!("r.example.com/a:1@sha256:{digest}")] {
        assert_eq!(as_in_target(&text.parse().unwrap()), *text);
    }
}
