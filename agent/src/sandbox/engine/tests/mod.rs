//! The engine's behaviours, under paused time.

mod images;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use holdfast_plan::container::{ContainerSpec, Endpoint, Healthcheck, NetworkMode, Port, PortBinding, Protocol, RestartPolicy};
use holdfast_plan::current::{Container, ContainerState, EngineState, Health};
use holdfast_plan::policy::Now;
use holdfast_plan::target::{ImageRef, IpamPool, NetworkSpec, VolumeSpec};

use super::{Entry, Mutation, Observer, Outage, Program, SimEngine};
use crate::clock::Clock;
use crate::engine::{Engine, EngineError, EngineEvent, Progress};
use crate::sandbox::faults::{Fault, Rule};

/// Wall clock and time since boot from tokio's, so that they pause together.
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Now {
        let boot_ms = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Now { wall_ms: Some(1_800_000_000_000 + boot_ms), machine_ms: 1_800_000_000_000 + boot_ms, boot_ms }
    }
}

fn engine() -> SimEngine {
    SimEngine::new(Rng::with_seed(1), Arc::new(TestClock(tokio::time::Instant::now())))
}

fn image(text: &str) -> ImageRef {
    text.parse().unwrap()
}

fn quiet() -> Progress {
    Arc::new(|_| ())
}

fn spec(name: &str) -> ContainerSpec {
    let labels = [("io.balena.supervised", "true"), ("io.balena.app-id", "7"), ("io.balena.service-name", name)];
    ContainerSpec {
        name: format!("{name}_1_2_abc"),
        image: "alpine:latest".into(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..ContainerSpec::default()
    }
}

/// A running container of a pulled image.
async fn up(engine: &SimEngine, spec: &ContainerSpec) -> String {
    engine.pull(&image("alpine"), None, quiet()).await.unwrap();
    let id = engine.create_container(spec).await.unwrap();
    engine.start_container(&id).await.unwrap();
    id
}

fn shown(engine: &SimEngine, id: &str) -> Container {
    engine.snapshot().containers.into_iter().find(|c| c.id == id).unwrap()
}

fn state(engine: &SimEngine, id: &str) -> ContainerState {
    shown(engine, id).state
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_lives_through_its_states() {
    let engine = engine();
    engine.pull(&image("alpine"), None, quiet()).await.unwrap();
    let id = engine.create_container(&spec("main")).await.unwrap();
    let made = shown(&engine, &id);
    assert_eq!(
        (made.state, made.app_id, made.service.as_str(), made.commit.as_str()),
        (ContainerState::Created, 7, "main", "abc")
    );
    assert_eq!(made.spec.options.command, Some(vec!["/program".into()]));
    engine.start_container(&id).await.unwrap();
    engine.start_container(&id).await.unwrap();
    assert_eq!(state(&engine, &id), ContainerState::Running);
    assert!(matches!(engine.remove_container(&id).await, Err(EngineError::Conflict { .. })));
    engine.stop_container(&id).await.unwrap();
    engine.stop_container(&id).await.unwrap();
    pass(100).await;
    assert_eq!(state(&engine, &id), ContainerState::Exited);
    engine.remove_container(&id).await.unwrap();
    engine.remove_container(&id).await.unwrap();
    assert!(engine.observe().await.unwrap().containers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn names_networks_and_images_must_be_there_or_free() {
    let engine = engine();
    let not_found = |result: Result<String, EngineError>| matches!(result, Err(EngineError::NotFound { .. }));
    assert!(not_found(engine.create_container(&spec("main")).await));
    let id = up(&engine, &spec("main")).await;
    assert!(matches!(engine.create_container(&spec("main")).await, Err(EngineError::Conflict { .. })));
    let other = engine.create_container(&spec("other")).await.unwrap();
    assert!(matches!(engine.rename_container(&other, "main_1_2_abc").await, Err(EngineError::Conflict { .. })));
    engine.rename_container(&id, "old_main_1_2_abc").await.unwrap();
    assert!(shown(&engine, &id).handing_over);
    let joined = ContainerSpec { network_mode: NetworkMode::Network("u_default".into()), ..spec("third") };
    assert!(not_found(engine.create_container(&joined).await));
    engine.create_network("u_default", &NetworkSpec::default(), 7).await.unwrap();
    let third = engine.create_container(&joined).await.unwrap();
    assert_eq!(shown(&engine, &third).spec.networks["u_default"], Endpoint::default());
}

#[tokio::test(start_paused = true)]
async fn the_engine_starts_again_what_dies() {
    let engine = engine();
    let id = up(&engine, &spec("main")).await;
    assert!(engine.kill(&id, 1));
    assert_eq!(state(&engine, &id), ContainerState::Restarting);
    pass(1).await;
    assert_eq!((state(&engine, &id), shown(&engine, &id).restart_count), (ContainerState::Running, 1));
    for (name, policy, code, expected) in [
        ("a", RestartPolicy::No, 1, ContainerState::Exited),
        ("b", RestartPolicy::OnFailure, 0, ContainerState::Exited),
        ("c", RestartPolicy::OnFailure, 3, ContainerState::Running),
        ("d", RestartPolicy::UnlessStopped, 0, ContainerState::Running),
    ] {
        let mut wanted = spec(name);
        wanted.options.restart = policy;
        let id = up(&engine, &wanted).await;
        engine.kill(&id, code);
        pass(1).await;
        assert_eq!(state(&engine, &id), expected, "{policy:?} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_slows_down() {
    let engine = engine();
    let program = Program { exits: Some((Duration::from_millis(10), 1)), ..Program::default() };
    engine.catalogue(|c| c.set_others(Some(Entry { program, ..Entry::default() })));
    let id = up(&engine, &spec("main")).await;
    pass(3600).await;
    let restarts = shown(&engine, &id).restart_count;
    assert!((60..75).contains(&restarts), "{restarts}");
    engine.stop_container(&id).await.unwrap();
    pass(3600).await;
    assert_eq!((state(&engine, &id), shown(&engine, &id).restart_count), (ContainerState::Exited, restarts));
}

#[tokio::test(start_paused = true)]
async fn health_speaks_where_a_check_is_set() {
    let engine = engine();
    let mut wanted = spec("main");
    wanted.options.healthcheck = Some(Healthcheck { test: Some(vec!["CMD".into(), "/ok".into()]), ..Healthcheck::default() });
    let id = up(&engine, &wanted).await;
    assert_eq!(shown(&engine, &id).health, Some(Health::Starting));
    pass(2).await;
    assert_eq!(shown(&engine, &id).health, Some(Health::Healthy));
    wanted = spec("other");
    wanted.options.healthcheck = Some(Healthcheck { test: Some(vec!["NONE".into()]), ..Healthcheck::default() });
    let id = up(&engine, &wanted).await;
    assert_eq!(shown(&engine, &id).health, None);
}

#[tokio::test(start_paused = true)]
async fn networks_may_stand_twice_and_are_held_by_running_containers() {
    let engine = engine();
    let internal = NetworkSpec { internal: true, ..NetworkSpec::default() };
    engine.create_network("u_n", &NetworkSpec::default(), 7).await.unwrap();
    engine.create_network("u_n", &NetworkSpec::default(), 7).await.unwrap();
    engine.create_network("u_n", &internal, 7).await.unwrap();
    let networks = engine.observe().await.unwrap().networks;
    assert_eq!(networks.iter().map(|n| (n.name.as_str(), n.spec.internal)).collect::<Vec<_>>(), [("u_n", false), ("u_n", true)]);
    assert_eq!(networks[0].labels["io.balena.app-id"], "7");
    let joined = ContainerSpec { network_mode: NetworkMode::Network("u_n".into()), ..spec("main") };
    engine.pull(&image("alpine"), None, quiet()).await.unwrap();
    assert!(engine.create_container(&joined).await.unwrap_err().to_string().contains("ambiguous"));
    engine.remove_network(&networks[1].id).await.unwrap();
    let id = up(&engine, &joined).await;
    assert!(matches!(engine.remove_network(&networks[0].id).await, Err(EngineError::Conflict { .. })));
    engine.stop_container(&id).await.unwrap();
    engine.remove_network(&networks[0].id).await.unwrap();
    assert!(engine.start_container(&id).await.unwrap_err().to_string().contains("not found"));
}

#[tokio::test(start_paused = true)]
async fn address_pools_must_not_overlap() {
    let engine = engine();
    let pool = |subnet: &str| {
        let pool = IpamPool { subnet: Some(subnet.into()), ..IpamPool::default() };
        NetworkSpec { ipam_pools: vec![pool], ..NetworkSpec::default() }
    };
    engine.create_network("u_a", &pool("10.1.0.0/16"), 7).await.unwrap();
    let error = engine.create_network("u_b", &pool("10.1.2.0/24"), 7).await.unwrap_err();
    assert!(error.to_string().contains("network u_b: Pool overlaps"), "{error}");
    engine.create_network("u_b", &pool("10.2.0.0/24"), 7).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_held_even_by_a_stopped_container() {
    let engine = engine();
    engine.create_volume("7_data", &VolumeSpec::default(), &"u".into()).await.unwrap();
    engine.create_volume("7_data", &VolumeSpec::default(), &"u".into()).await.unwrap();
    let changed = VolumeSpec { driver_opts: BTreeMap::from([("o".into(), "x".into())]), ..VolumeSpec::default() };
    assert!(matches!(engine.create_volume("7_data", &changed, &"u".into()).await, Err(EngineError::Conflict { .. })));
    let mut wanted = spec("main");
    wanted.binds = ["7_data:/data".to_owned(), "7_more:/more".into(), "/tmp/x:/tmp/balena".into()].into();
    let id = up(&engine, &wanted).await;
    engine.stop_container(&id).await.unwrap();
    assert!(matches!(engine.remove_volume("7_data").await, Err(EngineError::Conflict { .. })));
    engine.remove_container(&id).await.unwrap();
    let volumes = engine.observe().await.unwrap().volumes;
    assert_eq!(volumes.iter().map(|v| (v.name.as_str(), v.labels.len())).collect::<Vec<_>>(), [("7_data", 2), ("7_more", 0)]);
    engine.remove_volume("7_data").await.unwrap();
    engine.remove_volume("7_data").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_published_port_has_one_owner() {
    let engine = engine();
    let port = PortBinding { port: Port { protocol: Protocol::Tcp, number: 80 }, host_ip: String::new(), host_port: 8080 };
    let one = ContainerSpec { ports: [port.clone()].into(), ..spec("one") };
    let two = ContainerSpec { ports: [PortBinding { host_ip: "127.0.0.1".into(), ..port }].into(), ..spec("two") };
    let id = up(&engine, &one).await;
    let second = engine.create_container(&two).await.unwrap();
    let error = engine.start_container(&second).await.unwrap_err().to_string();
    assert!(error.contains("port is already allocated"), "{error}");
    assert_eq!(shown(&engine, &second).state, ContainerState::Created);
    engine.stop_container(&id).await.unwrap();
    engine.start_container(&second).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unless_stopped_stays_down_after_a_crash() {
    for (outage, expected) in [(Outage::Crash, ContainerState::Exited), (Outage::Restart, ContainerState::Running)] {
        let engine = engine();
        let mut wanted = spec("unless");
        wanted.options.restart = RestartPolicy::UnlessStopped;
        let unless = up(&engine, &wanted).await;
        let always = up(&engine, &spec("always")).await;
        engine.go_down(outage, Some(Duration::from_secs(5)));
        assert!(engine.observe().await.unwrap_err().is_unreachable());
        assert_ne!(state(&engine, &always), ContainerState::Running);
        pass(6).await;
        engine.observe().await.unwrap();
        assert_eq!(state(&engine, &always), ContainerState::Running);
        assert_eq!(state(&engine, &unless), expected, "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_of_changes_and_of_the_end() {
    let engine = engine();
    let id = up(&engine, &spec("main")).await;
    let mut events = engine.events().await.unwrap();
    let none = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    assert!(none.is_err(), "nothing happened");
    engine.kill(&id, 1);
    assert_eq!(events.next().await, Some(EngineEvent::Changed));
    // The engine's own restart comes as time passes, without any call.
    assert_eq!(tokio::time::timeout(Duration::from_secs(1), events.next()).await.unwrap(), Some(EngineEvent::Changed));
    assert_eq!(state(&engine, &id), ContainerState::Running);
    engine.go_down(Outage::Silent, None);
    assert_eq!(events.next().await, Some(EngineEvent::Closed));
    assert_eq!(events.next().await, None);
    assert!(engine.events().await.is_err());
    engine.come_back();
    assert!(engine.events().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn replies_are_lost_and_calls_hang_as_ordered() {
    let engine = engine();
    engine.pull(&image("alpine"), None, quiet()).await.unwrap();
    engine.faults(|f| f.add(Rule::once("create_container", Fault::LostReply)));
    assert!(engine.create_container(&spec("main")).await.unwrap_err().is_unreachable());
    let id = engine.snapshot().containers[0].id.clone();
    let limit = Duration::from_secs(30);
    engine.faults(|f| {
        f.add(Rule::once("start_container", Fault::Hang { limit }));
        f.add(Rule { object: Some("main".into()), ..Rule::once("start_container", Fault::HangAfter { limit }) });
        f.add(Rule::once("stop_container", Fault::Fail("no".into())));
    });
    assert!(matches!(engine.start_container(&id).await, Err(EngineError::TimedOut { seconds: 30, .. })));
    assert_eq!(state(&engine, &id), ContainerState::Created);
    assert!(matches!(engine.start_container(&id).await, Err(EngineError::TimedOut { .. })));
    assert_eq!(state(&engine, &id), ContainerState::Running);
    assert!(engine.stop_container(&id).await.is_err());
    engine.stop_container(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_stop_stops_all_the_same() {
    let engine = engine();
    let id = up(&engine, &spec("main")).await;
    let program = Program { stop_takes: Duration::from_secs(60), ..Program::default() };
    assert!(engine.set_program(&id, program));
    assert!(tokio::time::timeout(Duration::from_secs(1), engine.stop_container(&id)).await.is_err());
    assert_eq!(state(&engine, &id), ContainerState::Running);
    pass(10).await;
    assert_eq!((state(&engine, &id), shown(&engine, &id).exit_code), (ContainerState::Exited, 137));
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn changed(&self, mutation: &Mutation, after: &EngineState) {
        let text = format!("{mutation:?}");
        let kind = text.split([' ', '(']).next().unwrap().to_owned();
        self.0.lock().unwrap().push(format!("{kind} {}", after.containers.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_every_change() {
    let notes = Arc::new(Notes::default());
    let clock = Arc::new(TestClock(tokio::time::Instant::now()));
    let engine = SimEngine::observed(Rng::with_seed(1), clock, notes.clone());
    let id = up(&engine, &spec("main")).await;
    engine.stop_container(&id).await.unwrap();
    engine.remove_container(&id).await.unwrap();
    let expected = [
        "ImagePulled 0",
        "ContainerCreated 1",
        "ContainerStarted 1",
        "ContainerStopping 1",
        "ContainerStopped 1",
        "ContainerRemoved 0",
    ];
    assert_eq!(*notes.0.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_engine() {
    async fn run(seed: u64) -> EngineState {
        let engine = SimEngine::new(Rng::with_seed(seed), Arc::new(TestClock(tokio::time::Instant::now())));
        let id = up(&engine, &spec("main")).await;
        engine.kill(&id, 1);
        pass(1).await;
        engine.snapshot()
    }
    assert_eq!(run(3).await, run(3).await);
    assert_ne!(run(3).await.containers[0].id, run(4).await.containers[0].id);
}
