//! Trials and rejections, as targets come and go.

use std::sync::Arc;

use serde_json::json;

use crate::current::{ContainerState, Current};
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{Failure, Memory, Rejected, Remember, Trial};
use crate::plan::one_app::{self, APP, service};
use crate::plan::{Action, Input, Plan, Reason, plan};
use crate::policy::{Now, Policy};
use crate::target::DeviceTarget;

const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };
const TIMEOUT_MS: i64 = 60_000;

/// A release of these services, each with a time limit for its trial; the commit is in their environment.
fn target(commit: &str, services: &[&str]) -> DeviceTarget {
    let document = |(n, name): (u32, &&str)| {
        let mut document = service(n, "a", json!({}));
        document["labels"] = json!({ "io.balena.update.health-timeout": TIMEOUT_MS.to_string() });
        document["environment"] = json!({ "REVISION": commit });
        ((*name).to_owned(), document)
    };
    let services: serde_json::Map<_, _> = (1..).zip(services).map(document).collect();
    one_app::target(commit, services.into(), json!({}))
}

struct Device {
    current: Current,
    memory: Memory,
    target: DeviceTarget,
    now: Now,
}

impl Device {
    /// Settled on `c1`, which has one service.
    fn settled() -> Device {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let mut device = Device { current: Current::default(), memory, target: target("c1", &["db"]), now: NOW };
        device.run();
        assert_eq!(device.memory.settled[APP].commit, "c1");
        device
    }

    fn plan(&self) -> Plan {
        let (current, target, memory) = (&self.current, &self.target, &self.memory);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy: &Policy::default(), now: self.now })
    }

    /// Carries plans out until nothing is to be done at this time.
    fn run(&mut self) {
        for _ in 0..50 {
            let steps = self.plan().steps;
            if steps.is_empty() {
                return;
            }
            steps.iter().for_each(|step| apply(&mut self.current, &mut self.memory, step, self.now));
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    fn wait(&mut self, ms: i64) {
        self.now.boot_ms += ms;
        self.now.machine_ms += ms;
    }

    /// The engine cannot start this service; the step for it failed, and is not tried again for a long time.
    fn cannot_start(&mut self, service: &str) {
        let container = self.current.engine.containers.iter_mut().find(|container| container.service == service).unwrap();
        (container.state, container.started_ms) = (ContainerState::Created, None);
        let key = format!("container 1/{service} {}", container.spec.name);
        let retry_boot_ms = self.now.boot_ms + 1_000_000;
        self.memory.failures.insert(key, Failure { error: "exec format error".into(), count: 9, retry_boot_ms, no_space: false });
    }

    fn services(&self) -> Vec<&str> {
        self.current.engine.containers.iter().map(|container| container.service.as_str()).collect()
    }
}

fn trial(commit: &str) -> Trial {
    Trial { commit: commit.into(), starts: 1, since_boot_ms: Some(NOW.boot_ms) }
}

#[test]
fn a_release_that_does_not_work_is_given_up_for_the_one_before() {
    let mut device = Device::settled();
    device.target = target("c2", &["db"]);
    device.run();
    assert_eq!(device.memory.trials[APP].commit, "c2");
    let container = Arc::make_mut(&mut device.current.engine.containers[0].spec).name.clone();
    assert!(container.ends_with("c2"), "{container}");
    device.current.engine.containers[0].state = ContainerState::Restarting;
    device.wait(TIMEOUT_MS + 1);
    device.run();
    assert_eq!(device.memory.rejected[APP].commit, "c2");
    assert_eq!(device.current.engine.containers[0].commit, "c1");
    assert!(device.memory.trials.is_empty() && device.current.locks.held[&1].is_empty());
}

#[test]
fn forgetting_a_rejected_release_leaves_the_trial_of_the_next_one() {
    // The answer to the rejection was lost: the agent learned of it when the next release was on trial already.
    let mut device = Device::settled();
    device.target = target("c3", &["db"]);
    device.run();
    device.memory.rejected.insert(APP.into(), Rejected { commit: "c2".into(), why: "it did not start".into() });
    device.run();
    assert!(device.memory.rejected.is_empty());
    assert_eq!(device.memory.trials.get(APP).map(|trial| trial.commit.as_str()), Some("c3"));
    device.current.engine.containers[0].state = ContainerState::Restarting;
    device.wait(TIMEOUT_MS + 1);
    device.run();
    assert_eq!(device.memory.rejected[APP].commit, "c3");
}

#[test]
fn a_trial_ends_when_the_target_goes_back_to_the_settled_release() {
    let mut device = Device::settled();
    device.memory.trials.insert(APP.into(), trial("c2"));
    let steps = device.plan().steps;
    let is_end = |action: &Action| matches!(action, Action::Remember { change: Remember::Settle { settled, .. } } if settled.commit == "c1");
    assert!(steps.iter().any(|step| is_end(&step.action)), "{steps:?}");
    device.run();
    assert!(device.memory.trials.is_empty());
    assert!(device.plan().is_settled());
}

#[test]
fn a_container_that_cannot_be_started_goes_at_once_when_it_has_to() {
    let mut device = Device::settled();
    device.target = target("c2", &["db", "web"]);
    device.run();
    device.cannot_start("web");
    assert!(device.plan().steps.is_empty(), "its next start is not due");
    device.wait(2 * TIMEOUT_MS + 1);
    device.run();
    assert_eq!(device.memory.rejected[APP].commit, "c2");
    assert_eq!(device.services(), ["db"], "{:?}", device.plan());
    assert!(device.current.locks.held[&1].is_empty());
}

#[test]
fn what_failed_stays_known_while_its_container_is_made_anew() {
    let mut device = Device::settled();
    device.cannot_start("db");
    device.target = target("c2", &["db"]);
    let key = device.memory.failures.keys().next().unwrap().clone();
    let mut seen = false;
    for _ in 0..20 {
        let plan = device.plan();
        let kills = plan.steps.iter().any(|step| matches!(step.action, Action::Kill { .. }));
        assert!(!kills || plan.postponed.contains(&key), "{:?}", plan.postponed);
        seen |= kills;
        assert!(!plan.waiting.iter().any(|wait| matches!(wait.reason, Reason::Retry { .. })) || !seen);
        plan.steps.iter().for_each(|step| apply(&mut device.current, &mut device.memory, step, NOW));
    }
    assert!(seen);
}
