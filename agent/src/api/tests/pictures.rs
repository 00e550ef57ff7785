//! Pictures for the tests: a fleet with two services, in the states a device goes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_plan::container::{ContainerSpec, Options};
use holdfast_plan::current::{Container, ContainerState, Current, EngineState, Image, LockHolder, ServiceLock};
use holdfast_plan::memory::{Memory, Settled};
use holdfast_plan::plan::{Action, Plan, Reason, Step, Wait};
use holdfast_plan::target::{App, AppClass, DeviceTarget, NetworkChoice, NetworkSpec, Offence, RefusedApp, Release, Service};

use super::NOW;
use crate::engine::EngineInfo;
use crate::reconcile::{Doing, Fault, Phase, View};

pub(super) const APP: &str = "aaaabbbbccccddddaaaabbbbccccdddd";
pub(super) const OLD: &str = "0000000000000000000000000000000000000001";
pub(super) const NEW: &str = "0000000000000000000000000000000000000002";

pub(super) fn reference(service: &str, digit: char) -> String {
    format!("registry.example.com/v2/{service}@sha256:{}", digit.to_string().repeat(64))
}

fn service(name: &str, id: u64, digit: char) -> Service {
    Service {
        name: name.into(),
        id,
        image_id: 100 + id,
        image: reference(name, digit).parse().unwrap(),
        environment: BTreeMap::new(),
        labels: BTreeMap::new(),
        running: true,
        contract: None,
        depends_on: BTreeMap::new(),
        network_mode: NetworkChoice::Network("default".into()),
        networks: BTreeMap::new(),
        ports: Default::default(),
        expose: Default::default(),
        mounts: Default::default(),
        hostname: None,
        options: Options::default(),
        unsupported: vec![Offence { path: format!("services.{name}.composition.x"), message: "is not supported".into() }],
    }
}

fn container(name: &str, id: u64, commit: &str) -> Container {
    Container {
        id: format!("{name}-{}", &commit[39..]),
        app_id: 5,
        app_uuid: Some(APP.into()),
        service: name.into(),
        service_id: Some(id),
        commit: commit.into(),
        release_id: Some(9),
        cloud_image_id: Some(100 + id),
        handing_over: false,
        image_id: format!("sha256:{name}"),
        created_ms: NOW.machine_ms - 70_000,
        started_ms: NOW.wall_ms.map(|wall| wall - 60_000),
        finished_ms: None,
        state: ContainerState::Running,
        exit_code: 0,
        error: String::new(),
        health: None,
        restart_count: 0,
        spec: std::sync::Arc::new(ContainerSpec { name: format!("{name}_10{id}_9_{commit}"), ..ContainerSpec::default() }),
        image_config: None,
    }
}

fn image(name: &str, digit: char) -> Image {
    Image { id: format!("sha256:{name}{digit}"), digests: vec![reference(name, digit)], ..Image::default() }
}

fn target(commit: &str, digit: char) -> DeviceTarget {
    let services =
        [("db", 2), ("main", 1)].map(|(name, id)| (name.to_owned(), service(name, id, if name == "db" { 'd' } else { digit })));
    let release = Release {
        commit: commit.into(),
        id: 9,
        services: services.into(),
        networks: [("default".to_owned(), NetworkSpec::default())].into(),
        volumes: BTreeMap::new(),
        unsupported: Vec::new(),
    };
    let app = App {
        id: 5,
        uuid: APP.into(),
        name: "kitchen".into(),
        class: AppClass::Fleet,
        is_host: false,
        document: Arc::default(),
        fingerprint: String::new(),
        release: Some(release),
    };
    DeviceTarget { name: "pi".into(), apps: [(APP.to_owned(), app)].into(), ..DeviceTarget::default() }
}

fn current(containers: Vec<Container>, images: Vec<Image>) -> Current {
    Current { engine: EngineState { containers, images, ..EngineState::default() }, ..Current::default() }
}

fn settled_on(commit: &str) -> Arc<Memory> {
    let settled = Settled { app_id: 5, commit: commit.into(), fingerprint: String::new(), document: serde_json::Value::Null };
    Arc::new(Memory { target_stored: true, settled: [(APP.to_owned(), settled)].into(), ..Memory::default() })
}

/// Both services run the wanted release.
pub(in crate::api) fn settled() -> View {
    View {
        phase: Phase::Settled,
        engine: Some(EngineInfo { name: "Docker".into(), version: "20.10.24".into(), ..EngineInfo::default() }),
        target: Some(Arc::new(target(OLD, '1'))),
        current: Arc::new(current(
            vec![container("main", 1, OLD), container("db", 2, OLD)],
            vec![image("main", '1'), image("db", 'd')],
        )),
        memory: settled_on(OLD),
        ..View::default()
    }
}

/// A new release is wanted; the image of `main` is being downloaded.
pub(super) fn downloading() -> View {
    let step = Step {
        action: Action::Fetch { image: reference("main", '2').parse().unwrap(), app_uuid: APP.into(), service: "main".into() },
        app: Some("kitchen".into()),
        service: Some("main".into()),
        why: Reason::NotThereYet,
    };
    let wait = Wait {
        app: "kitchen".into(),
        service: Some("main".into()),
        reason: Reason::WaitingForImages { missing: vec!["main".into()].into() },
    };
    View {
        phase: Phase::Applying,
        target: Some(Arc::new(target(NEW, '2'))),
        plan: Arc::new(Plan { waiting: vec![wait], ..Plan::default() }),
        doing: vec![Doing { step, since_boot_ms: NOW.boot_ms - 12_000, progress: Some(45) }],
        ..settled()
    }
}

/// Everything is downloaded; the application holds the lock of `main`, and another pull has failed.
pub(super) fn locked() -> View {
    let mut current = current(
        vec![container("main", 1, OLD), container("db", 2, OLD)],
        vec![image("main", '1'), image("main", '2'), image("db", 'd')],
    );
    let lock = LockHolder::Application { file: "updates.lock".into(), since_ms: NOW.wall_ms.map(|wall| wall - 300_000) };
    current.locks.held = [(5, [("main".to_owned(), ServiceLock { holder: lock })].into())].into();
    let wait = |service: Option<&str>, reason| Wait { app: "kitchen".into(), service: service.map(Into::into), reason };
    let waiting = vec![
        wait(
            None,
            Reason::WaitingForLock {
                service: "main".into(),
                file: "updates.lock".into(),
                since_ms: NOW.wall_ms.map(|w| w - 300_000),
            },
        ),
        wait(Some("db"), Reason::Retry { error: "no route to host".into(), count: 2, retry_boot_ms: NOW.boot_ms + 30_000 }),
    ];
    View {
        phase: Phase::Waiting,
        target: Some(Arc::new(target(NEW, '2'))),
        current: Arc::new(current),
        plan: Arc::new(Plan { waiting, ..Plan::default() }),
        doing: Vec::new(),
        faults: vec![Fault { subject: "engine".into(), message: "is slow".into() }],
        ..settled()
    }
}

/// The app's part of the target is refused; its containers are still there.
pub(super) fn refused() -> View {
    let refused = RefusedApp {
        id: Some(5),
        name: Some("kitchen".into()),
        commit: Some(NEW.into()),
        offences: vec![Offence { path: format!("apps.{APP}.releases"), message: "two releases".into() }],
    };
    let target = DeviceTarget { refused: [(APP.to_owned(), refused)].into(), ..DeviceTarget::default() };
    View { phase: Phase::Settled, target: Some(Arc::new(target)), ..settled() }
}
