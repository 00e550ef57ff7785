//! Orders on an app, whatever happens meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::current::{ContainerState, Current, LockHolder, ServiceLock};
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{Failure, Memory};
use crate::order::{ORDER_LIMIT_MS, Order, Stage, Task};
use crate::plan::one_app::{self, APP, service};
use crate::plan::{Action, Input, OrderVerdict, Plan, Reason, plan};
use crate::policy::{Force, Now, Policy};
use crate::target::{DeviceTarget, RefusedApp};

const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

/// Services `db`, which mounts a volume, and `web`; both of an image with this digit.
fn target(commit: &str, image: &str, volumes: Value) -> DeviceTarget {
    let db = service(1, image, json!({ "volumes": ["data:/data"] }));
    one_app::target(commit, json!({ "db": db, "web": service(2, image, json!({})) }), volumes)
}

struct Device {
    current: Current,
    memory: Memory,
    policy: Policy,
    target: DeviceTarget,
    now: Now,
}

impl Device {
    fn settled() -> Device {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let target = target("c1", "a", json!({ "data": {} }));
        let mut device = Device { current: Current::default(), memory, policy: Policy::default(), target, now: NOW };
        device.run(100);
        device.rename();
        device
    }

    /// Ids that no later container has.
    fn rename(&mut self) {
        for container in &mut self.current.engine.containers {
            container.id = format!("first {}", container.service);
        }
        self.current.engine.volumes.iter_mut().for_each(|volume| volume.created_ms = Some(1));
    }

    fn plan(&self) -> Plan {
        let (current, target, memory, policy) = (&self.current, &self.target, &self.memory, &self.policy);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy, now: self.now })
    }

    /// Carries the plan out for at most so many rounds, as the loop does; ends with an order. What was done, and how it ended.
    fn run(&mut self, rounds: usize) -> (Vec<Action>, Option<OrderVerdict>) {
        let mut taken = Vec::new();
        for _ in 0..rounds {
            let plan = self.plan();
            for step in plan.steps {
                let is_held = |container: &str| {
                    let container = self.current.engine.containers.iter().find(|c| c.id == container).unwrap();
                    matches!(self.current.locks.holder(1, &container.service), Some(LockHolder::Agent { .. }))
                };
                if let Action::Kill { container } | Action::Stop { container } = &step.action {
                    assert!(is_held(&container.id), "{} is taken away without its lock", container.name);
                }
                apply(&mut self.current, &mut self.memory, &step, self.now);
                taken.push(step.action);
            }
            if let Some((app, verdict)) = plan.orders.into_iter().next() {
                self.memory.orders.remove(&app);
                return (taken, Some(verdict));
            }
        }
        (taken, None)
    }

    fn ask(&mut self, task: Task) {
        self.memory.orders.insert(1, Order::new(task, None, self.now.boot_ms));
    }

    fn done(&mut self, task: Task) -> Vec<Action> {
        self.ask(task);
        let (taken, verdict) = self.run(100);
        assert_eq!(verdict, Some(OrderVerdict::Done), "{:?}", self.plan());
        taken
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.current.engine.containers.iter().map(|container| container.id.as_str()).collect()
    }

    fn up(&self) -> Vec<&str> {
        let up = self.current.engine.containers.iter().filter(|container| container.is_up());
        let mut up: Vec<&str> = up.map(|container| container.service.as_str()).collect();
        up.sort_unstable();
        up
    }

    fn lock(&mut self, service: &str) {
        let holder = LockHolder::Application { file: "updates.lock".into(), since_ms: None };
        self.current.locks.held.entry(1).or_default().insert(service.into(), ServiceLock { holder });
    }

    fn fail(&mut self, key: &str, count: u32) {
        let failure = Failure { error: "busy".into(), count, retry_boot_ms: 0, no_space: false };
        self.memory.failures.insert(key.into(), failure);
    }

    fn commits(&self) -> Vec<&str> {
        self.current.engine.containers.iter().map(|container| container.commit.as_str()).collect()
    }

    fn no_lock_is_ours(&self) -> bool {
        self.current
            .locks
            .held
            .values()
            .flat_map(|held| held.values())
            .all(|lock| !matches!(lock.holder, LockHolder::Agent { .. }))
    }
}

fn removes_volume(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::RemoveVolume { .. }))
}

#[test]
fn a_restart_makes_every_container_anew_and_touches_nothing_else() {
    let mut device = Device::settled();
    device.memory.stops.insert((1, "web".into()));
    let taken = device.done(Task::Restart(None));
    assert!(device.ids().iter().all(|id| !id.starts_with("first")) && device.up() == ["db", "web"], "{:?}", device.ids());
    assert!(device.memory.stops.is_empty(), "what was stopped runs again");
    let others = |a: &Action| matches!(a, Action::RemoveImage { .. } | Action::RemoveNetwork { .. } | Action::Fetch { .. });
    assert!(!removes_volume(&taken) && !taken.iter().any(others), "{taken:?}");
    assert!(device.no_lock_is_ours() && device.plan().is_settled());
}

#[test]
fn one_service_is_restarted_alone() {
    let mut device = Device::settled();
    device.done(Task::Restart(Some("web".into())));
    assert_eq!(device.ids().iter().filter(|id| id.starts_with("first")).copied().collect::<Vec<_>>(), ["first db"]);
    assert!(device.plan().is_settled());
}

#[test]
fn a_purge_makes_the_volumes_anew_too() {
    let mut device = Device::settled();
    let taken = device.done(Task::Purge);
    assert!(removes_volume(&taken));
    assert_ne!(device.current.engine.volumes[0].created_ms, Some(1));
    assert!(device.ids().iter().all(|id| !id.starts_with("first")) && device.up() == ["db", "web"]);
    assert!(device.plan().is_settled(), "{:?}", device.plan());
}

#[test]
fn an_application_that_holds_its_lock_refuses_at_once_and_is_not_touched() {
    for task in [Task::Restart(None), Task::Restart(Some("db".into())), Task::Purge, Task::Stop("db".into())] {
        let mut device = Device::settled();
        device.lock("web");
        device.ask(task.clone());
        let (taken, verdict) = device.run(100);
        let why = "Lockfile exists for { appId: 1, service: web }".to_owned();
        assert_eq!(verdict, Some(OrderVerdict::Refused { locked: true, why }), "{task:?}");
        assert!(taken.is_empty() && device.plan().is_settled(), "{taken:?}");
        device.ask(task.clone());
        device.memory.orders.get_mut(&1).unwrap().force = Some(Force::Request { from: "test".into() });
        let (taken, verdict) = device.run(100);
        assert_eq!(verdict, Some(OrderVerdict::Done), "{task:?} with force");
        assert!(taken.iter().any(|action| matches!(action, Action::TakeLock { force: Some(_), .. })));
    }
}

#[test]
fn a_start_asks_for_no_lock_and_a_stop_lasts() {
    let mut device = Device::settled();
    device.done(Task::Stop("db".into()));
    assert_eq!(device.up(), ["web"]);
    assert!(device.no_lock_is_ours() && device.plan().is_settled(), "it stays stopped: {:?}", device.plan());
    device.lock("db");
    let taken = device.done(Task::Start("db".into()));
    assert!(!taken.iter().any(|action| matches!(action, Action::TakeLock { .. })), "{taken:?}");
    assert!(device.up() == ["db", "web"] && device.memory.stops.is_empty());
}

#[test]
fn a_stop_ends_with_a_new_configuration_or_with_the_service() {
    let mut device = Device::settled();
    device.done(Task::Stop("web".into()));
    device.target = target("c2", "b", json!({ "data": {} }));
    device.run(100);
    assert_eq!((device.up(), device.memory.stops.len()), (vec!["db", "web"], 0));
    // Somebody else starts it.
    device.memory.stops.insert((1, "web".into()));
    device.run(10);
    assert!(device.memory.stops.is_empty());
    // Its app leaves.
    device.memory.stops.insert((1, "web".into()));
    device.current.engine.containers.iter_mut().for_each(|container| container.state = ContainerState::Exited);
    device.target = DeviceTarget::default();
    device.run(10);
    assert!(device.memory.stops.is_empty() && device.current.engine.containers.is_empty());
}

/// Whoever dies when: what is stored brings everything back, and nothing is purged that was not asked for.
#[test]
fn an_agent_that_dies_in_the_middle_ends_what_it_began() {
    for task in [Task::Restart(None), Task::Purge, Task::Restart(Some("db".into()))] {
        for rounds in 1..30 {
            let mut device = Device::settled();
            device.ask(task.clone());
            device.run(rounds);
            let began = device.memory.orders.get(&1).cloned();
            device.memory.orders.retain(|_, order| order.is_stored());
            device.memory.orders.values_mut().for_each(|order| *order = order.clone().resumed(NOW.boot_ms));
            let (_, verdict) = device.run(100);
            device.run(100);
            assert_eq!(device.up(), ["db", "web"], "{task:?} after {rounds} rounds, was {began:?}");
            assert!(device.plan().is_settled() && device.memory.orders.is_empty(), "{:?}", device.plan());
            if began.is_some_and(|order| order.is_stored()) {
                assert_eq!(verdict, Some(OrderVerdict::Done));
                let volume_is_new = device.current.engine.volumes[0].created_ms != Some(1);
                assert_eq!(volume_is_new, task == Task::Purge, "no half purge, {rounds} rounds");
            }
        }
    }
}

#[test]
fn a_volume_that_somebody_made_since_is_another_one() {
    let mut device = Device::settled();
    device.ask(Task::Purge);
    device.run(2);
    assert_eq!(device.memory.orders[&1].stage, Stage::Clearing);
    device.current.engine.volumes[0].created_ms = Some(2);
    let (taken, verdict) = device.run(100);
    assert!(!removes_volume(&taken) && verdict == Some(OrderVerdict::Done), "{taken:?}");
}

#[test]
fn a_volume_that_cannot_be_removed_is_named_and_the_app_comes_back() {
    let mut device = Device::settled();
    device.ask(Task::Purge);
    device.run(2);
    device.fail("volume 1_data", 3);
    let (taken, verdict) = device.run(100);
    let Some(OrderVerdict::Refused { locked: false, why }) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("1_data") && why.contains("busy"), "{why}");
    assert!(!removes_volume(&taken) && device.up() == ["db", "web"]);
}

#[test]
fn while_an_update_is_downloaded_the_running_release_is_made_anew() {
    let mut device = Device::settled();
    device.target = target("c2", "b", json!({ "data": {} }));
    device.current.in_flight.insert(format!("fetch sha256:{}", "b".repeat(64)), None);
    let taken = device.done(Task::Restart(None));
    assert_eq!(device.commits(), ["c1", "c1"]);
    assert!(device.no_lock_is_ours() && taken.iter().any(|action| matches!(action, Action::Create { .. })));
    // The same for an app whose new target is refused.
    device.rename();
    device
        .target
        .refused
        .insert(APP.into(), crate::target::RefusedApp { id: Some(1), name: None, commit: None, offences: vec![] });
    device.target.apps.clear();
    device.done(Task::Restart(None));
    assert_eq!((device.commits(), device.up()), (vec!["c1", "c1"], vec!["db", "web"]));
}

#[test]
fn a_purge_lets_a_volume_take_its_new_definition() {
    let mut device = Device::settled();
    device.target = target("c2", "a", json!({ "data": { "labels": { "shape": "2" } } }));
    device.run(100);
    let blocked = |plan: Plan| plan.waiting.iter().any(|wait| matches!(wait.reason, Reason::VolumeWouldLoseData { .. }));
    assert!(blocked(device.plan()));
    device.done(Task::Purge);
    device.run(100);
    assert!(device.plan().is_settled() && device.commits() == ["c2", "c2"], "{:?}", device.plan());
}

#[test]
fn nothing_is_removed_that_nothing_would_make_again() {
    let refused = |device: &mut Device, task: Task, words: &str| {
        device.ask(task);
        let (taken, verdict) = device.run(3);
        let Some(OrderVerdict::Refused { locked: false, why }) = verdict else { panic!("{verdict:?}") };
        let takes = |action: &Action| matches!(action, Action::Kill { .. } | Action::RemoveVolume { .. });
        assert!(why.contains(words) && !taken.iter().any(takes), "{why}, {taken:?}");
    };
    let mut device = Device::settled();
    device.memory.settled.clear();
    device.target = target("c2", "b", json!({ "data": {} }));
    device.current.in_flight.insert(format!("fetch sha256:{}", "b".repeat(64)), None);
    refused(&mut device, Task::Restart(None), "still being downloaded");
    let mut device = Device::settled();
    device.memory.settled.clear();
    device.target = DeviceTarget::default();
    device.memory.target_stored = false;
    refused(&mut device, Task::Purge, "not in the target");
    let mut device = Device::settled();
    device.policy.watch_only = Some("another one is here".into());
    refused(&mut device, Task::Purge, "another one is here");
    let mut device = Device::settled();
    device.current.engine.containers.clear();
    refused(&mut device, Task::Restart(None), "not installed");
}

#[test]
fn a_refused_app_comes_back_under_its_locks() {
    let mut device = Device::settled();
    let app = device.target.apps.remove(APP).unwrap();
    let refused = RefusedApp { id: Some(1), name: Some(app.name), commit: None, offences: Vec::new() };
    device.target.refused.insert(APP.into(), refused);
    let taken = device.done(Task::Restart(None));
    assert_eq!(device.up(), ["db", "web"]);
    let last_made = taken.iter().rposition(|action| matches!(action, Action::Create { .. })).unwrap();
    let given_back = taken.iter().position(|action| matches!(action, Action::ReleaseLock { .. })).unwrap();
    assert!(last_made < given_back && device.no_lock_is_ours(), "{taken:?}");
}

/// The locks are given back for the order and taken anew for the removal: nothing goes without them.
#[test]
fn an_app_that_leaves_the_target_meanwhile_goes_under_its_locks() {
    let mut device = Device::settled();
    device.ask(Task::Restart(Some("web".into())));
    while device.memory.orders.get(&1).is_none_or(|order| order.stage != Stage::Restoring) {
        device.run(1);
    }
    device.target.apps.clear();
    for _ in 0..20 {
        let steps = device.plan().steps;
        let gives_back = steps.iter().any(|step| matches!(step.action, Action::ReleaseLock { .. }));
        let removes = steps.iter().any(|step| matches!(step.action, Action::Kill { .. }));
        assert!(!(gives_back && removes), "{steps:?}");
        device.run(1);
    }
    assert!(device.current.engine.containers.is_empty() && device.memory.orders.is_empty());
}

#[test]
fn an_order_that_gets_nowhere_is_given_up() {
    let mut device = Device::settled();
    device.ask(Task::Purge);
    device.run(2);
    // The agent is away, and the application takes its lock meanwhile.
    device.current.locks.held.clear();
    device.lock("db");
    device.memory.orders.values_mut().for_each(|order| *order = order.clone().resumed(NOW.boot_ms));
    assert_eq!(device.run(5), (vec![], None), "it is waited for");
    device.now.boot_ms += ORDER_LIMIT_MS;
    let (_, verdict) = device.run(1);
    let Some(OrderVerdict::Refused { locked: false, why }) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("given up") && why.contains("1_data"), "{why}");
    assert!(device.plan().is_settled() && device.ids().contains("first db"));
}

/// What is stopped first and downloaded then runs again with its new release, too.
#[test]
fn a_stop_ends_before_the_download_of_a_strategy_that_kills_first() {
    let mut device = Device::settled();
    device.done(Task::Stop("web".into()));
    let mut new = target("c2", "b", json!({ "data": {} }));
    let release = new.apps.get_mut(APP).unwrap().release.as_mut().unwrap();
    let strategy = ("io.balena.update.strategy".to_owned(), "kill-then-download".to_owned());
    release.services.values_mut().for_each(|service| drop(service.labels.insert(strategy.0.clone(), strategy.1.clone())));
    device.target = new;
    device.run(100);
    assert_eq!((device.up(), device.memory.stops.len()), (vec!["db", "web"], 0));
}
