//! A volume kept from its services, whatever happens meanwhile.

use serde_json::json;

use crate::current::{Container, ContainerState, Current, Image, LockHolder, ServiceLock};
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{Memory, Trial};
use crate::plan::one_app::{self, APP, service};
use crate::plan::{Action, HoldVerdict, Input, Plan, Reason, plan};
use crate::policy::{Force, Gate, Hold, Now, Policy, Purpose};
use crate::target::DeviceTarget;

const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };
const VOLUME: &str = "1_data";

/// Services `db` and `job` mount the volume, `web` does not; `job` is a one-shot that still runs.
fn target(web: &str) -> DeviceTarget {
    let services = json!({
        "db": service(1, "a", json!({ "volumes": ["data:/data"] })),
        "job": service(2, "a", json!({ "volumes": ["data:/data"], "restart": "no" })),
        "web": service(3, web, json!({})),
    });
    one_app::target("c1", services, json!({ "data": {} }))
}

struct Device {
    current: Current,
    memory: Memory,
    policy: Policy,
    target: DeviceTarget,
}

impl Device {
    fn settled() -> Device {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let mut device = Device { current: Current::default(), memory, policy: Policy::default(), target: target("b") };
        device.run();
        assert_eq!(device.up(), ["db", "job", "web"]);
        device
    }

    fn plan(&self) -> Plan {
        let (current, target, memory, policy) = (&self.current, &self.target, &self.memory, &self.policy);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy, now: NOW })
    }

    /// Carries the plan out until nothing is left to do; every step that was taken.
    fn run(&mut self) -> Vec<Action> {
        let mut taken = Vec::new();
        for _ in 0..50 {
            let steps = self.plan().steps;
            if steps.is_empty() {
                return taken;
            }
            for step in steps {
                apply(&mut self.current, &mut self.memory, &step, NOW);
                if let Action::Stop { container } = &step.action {
                    let stopped = self.current.engine.containers.iter_mut().find(|c| c.id == container.id).unwrap();
                    stopped.state = ContainerState::Exited;
                }
                taken.push(step.action);
            }
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    fn ask(&mut self, purpose: Purpose, force: Option<Force>) -> Option<HoldVerdict> {
        self.policy.hold = Some(Hold { volume: VOLUME.into(), purpose, force });
        self.run();
        self.plan().hold
    }

    /// The request is over, however it ended.
    fn let_go(&mut self) -> Vec<Action> {
        self.policy.hold = None;
        self.run()
    }

    fn up(&self) -> Vec<&str> {
        let mut up: Vec<&str> = self.current.engine.containers.iter().filter(|c| c.is_up()).map(|c| c.service.as_str()).collect();
        up.sort_unstable();
        up
    }

    fn lock(&mut self, service: &str) {
        let holder = LockHolder::Application { file: "updates.lock".into(), since_ms: None };
        self.current.locks.held.entry(1).or_default().insert(service.into(), ServiceLock { holder });
    }

    fn container(&self, service: &str) -> &Container {
        self.current.engine.containers.iter().find(|c| c.service == service).unwrap()
    }
}

#[test]
fn a_backup_stops_who_uses_the_volume_and_starts_them_again() {
    let mut device = Device::settled();
    let ids: Vec<String> = ["db", "job"].map(|service| device.container(service).id.clone()).to_vec();
    assert_eq!(device.ask(Purpose::Backup, None), Some(HoldVerdict::Ready));
    assert_eq!(device.up(), ["web"]);
    assert!(device.current.locks.all_ours(1, ["db", "job"]), "stopped under their locks");
    let waits = device.plan().waiting;
    assert!(waits.iter().any(|wait| matches!(&wait.reason, Reason::HeldForVolume { name, .. } if name == VOLUME)), "{waits:?}");
    assert!(!device.plan().is_settled());
    device.let_go();
    assert_eq!(device.up(), ["db", "job", "web"], "the one-shot service too");
    assert_eq!(ids, ["db", "job"].map(|service| device.container(service).id.clone()), "the same containers");
    assert!(device.memory.held.is_empty() && device.current.locks.held.values().all(|locks| locks.is_empty()));
}

#[test]
fn an_agent_that_dies_in_the_middle_starts_them_again() {
    let mut device = Device::settled();
    device.ask(Purpose::Backup, None);
    // A new agent knows nothing of the request, and the machine may have lost the lock files too.
    device.memory.failures.clear();
    device.current.locks = Default::default();
    device.let_go();
    assert_eq!(device.up(), ["db", "job", "web"]);
    assert!(device.memory.held.is_empty());
}

#[test]
fn what_is_stopped_is_written_down_before() {
    let mut device = Device::settled();
    device.policy.hold = Some(Hold { volume: VOLUME.into(), purpose: Purpose::Backup, force: None });
    let mut known = Vec::new();
    for action in device.run() {
        match action {
            Action::Remember { change: crate::memory::Remember::Held { container, held: true } } => known.push(container),
            Action::Stop { container } => assert!(known.contains(&container.id), "{}", container.name),
            _ => {}
        }
    }
    assert_eq!(known.len(), 2);
}

#[test]
fn an_update_waits_until_the_copy_is_over() {
    let mut device = Device::settled();
    device.ask(Purpose::Backup, None);
    device.target = target("c");
    assert_eq!(device.run(), []);
    assert_eq!(device.plan().hold, Some(HoldVerdict::Ready));
    let taken = device.let_go();
    assert!(taken.iter().any(|action| matches!(action, Action::Fetch { .. })), "{taken:?}");
    assert_eq!(device.up(), ["db", "job", "web"]);
}

#[test]
fn a_held_lock_refuses_and_force_breaks_it() {
    let mut device = Device::settled();
    device.lock("db");
    let verdict = device.ask(Purpose::Backup, None);
    assert!(matches!(&verdict, Some(HoldVerdict::Refused { locked: true, why }) if why.contains("db")), "{verdict:?}");
    assert_eq!(device.up(), ["db", "job", "web"], "nothing was touched");
    let force = Some(Force::Request { from: "test".into() });
    assert_eq!(device.ask(Purpose::Backup, force), Some(HoldVerdict::Ready));
    device.let_go();
    assert_eq!(device.up(), ["db", "job", "web"]);
    // A lock of a service that does not use the volume stands in no backup's way, but in a restore's.
    device.lock("web");
    assert_eq!(device.ask(Purpose::Backup, None), Some(HoldVerdict::Ready));
    device.let_go();
    assert!(matches!(device.ask(Purpose::Restore, None), Some(HoldVerdict::Refused { locked: true, .. })));
}

#[test]
fn a_restore_removes_who_uses_the_volume_and_makes_them_anew() {
    let mut device = Device::settled();
    assert_eq!(device.ask(Purpose::Restore, None), Some(HoldVerdict::Ready));
    assert_eq!(device.current.engine.containers.len(), 1, "only web is left");
    // In the middle of it the volume itself is away for a moment: nobody else makes it.
    let volumes = std::mem::take(&mut device.current.engine.volumes);
    assert_eq!(device.plan().steps, []);
    device.current.engine.volumes = volumes;
    // Whoever was killed comes back even outside the update window.
    device.policy.switch = Gate::Until { wall_ms: None, why: "closed".into() };
    device.current.locks = Default::default();
    let taken = device.let_go();
    assert_eq!(device.up(), ["db", "job", "web"]);
    assert_eq!(taken.iter().filter(|action| matches!(action, Action::Create { .. })).count(), 2, "{taken:?}");
    assert!(!taken.iter().any(|action| matches!(action, Action::Kill { .. } | Action::Rename { .. })), "{taken:?}");
}

#[test]
fn a_restore_is_refused_where_nothing_would_come_back() {
    let mut device = Device::settled();
    device.current.engine.images.retain(|image: &Image| !image.digests.iter().any(|d| d.contains(&"a".repeat(64))));
    device.memory.images.clear();
    let refused = |verdict: Option<HoldVerdict>| matches!(verdict, Some(HoldVerdict::Refused { locked: false, .. }));
    assert!(refused(device.ask_only(Purpose::Restore)), "an image is missing");
    let mut device = Device::settled();
    device.target.apps.clear();
    assert!(refused(device.ask_only(Purpose::Restore)), "its app left the target");
    let mut device = Device::settled();
    device.memory.trials.insert(APP.into(), Trial { commit: "c1".into(), starts: 1, since_boot_ms: Some(0) });
    assert!(refused(device.ask_only(Purpose::Backup)), "on trial");
}

#[test]
fn an_agent_that_only_watches_gives_what_nobody_uses() {
    let mut device = Device::settled();
    device.policy.watch_only = Some("another supervisor".into());
    assert!(matches!(device.ask(Purpose::Backup, None), Some(HoldVerdict::Refused { locked: false, .. })));
    device.current.engine.containers.clear();
    assert_eq!(device.ask(Purpose::Backup, None), Some(HoldVerdict::Ready));
}

#[test]
fn the_volume_of_a_departed_app_is_not_removed_under_a_copy() {
    let mut device = Device::settled();
    device.target.apps.clear();
    device.policy.hold = Some(Hold { volume: VOLUME.into(), purpose: Purpose::Backup, force: None });
    device.run();
    assert_eq!(device.plan().hold, Some(HoldVerdict::Ready));
    assert!(device.current.engine.volumes.iter().any(|volume| volume.name == VOLUME), "no grace period here");
    device.let_go();
    assert!(device.current.engine.volumes.is_empty() && device.current.engine.containers.is_empty());
}

#[test]
fn a_stop_asked_for_meanwhile_is_respected() {
    let mut device = Device::settled();
    device.ask(Purpose::Backup, None);
    device.memory.stops.insert((1, "db".into()));
    device.let_go();
    assert_eq!(device.up(), ["job", "web"]);
    assert!(device.memory.held.is_empty());
}

impl Device {
    fn ask_only(&mut self, purpose: Purpose) -> Option<HoldVerdict> {
        self.policy.hold = Some(Hold { volume: VOLUME.into(), purpose, force: None });
        self.plan().hold
    }
}
