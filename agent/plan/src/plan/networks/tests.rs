//! Networks of engines that keep less, or show more, than they were asked for.

use serde_json::{Value, json};

use crate::container::MADE_FROM_LABEL;
use crate::current::Current;
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::Memory;
use crate::plan::one_app::{self, service};
use crate::plan::{Action, Input, Plan, Reason, plan};
use crate::policy::{Now, Policy};
use crate::target::DeviceTarget;

const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

/// One service in a network defined like this, which may also call the local API.
fn target(network: Value) -> DeviceTarget {
    let mut db = service(1, "a", json!({ "networks": ["back"] }));
    db["labels"] = json!({ "io.balena.features.supervisor-api": "1" });
    one_app::in_networks("c1", json!({ "db": db }), json!({ "back": network }), json!({}))
}

struct Device {
    current: Current,
    memory: Memory,
    target: DeviceTarget,
}

impl Device {
    fn at(target: DeviceTarget) -> Device {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let mut device = Device { current: Current::default(), memory, target };
        device.run();
        device
    }

    fn plan(&self) -> Plan {
        let (current, target, memory) = (&self.current, &self.target, &self.memory);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy: &Policy::default(), now: NOW })
    }

    fn run(&mut self) {
        for _ in 0..50 {
            let steps = self.plan().steps;
            if steps.is_empty() {
                return;
            }
            steps.iter().for_each(|step| apply(&mut self.current, &mut self.memory, step, NOW));
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    /// The engine shows every network with an option of its own and other addresses than those that were asked for.
    fn show_more(&mut self) {
        for network in &mut self.current.engine.networks {
            network.spec.driver_opts.insert("com.docker.network.enable_ipv4".into(), "true".into());
            network.spec.ipam_pools.clear();
        }
    }

    fn removes_a_network_or_its_users(&self) -> bool {
        let steps = self.plan().steps;
        steps
            .iter()
            .any(|step| matches!(step.action, Action::TakeLock { .. } | Action::Kill { .. } | Action::RemoveNetwork { .. }))
    }
}

#[test]
fn a_network_that_was_made_as_asked_is_not_made_once_more() {
    let mut device = Device::at(target(json!({ "internal": true })));
    device.show_more();
    let plan = device.plan();
    assert!(plan.is_settled(), "{plan:?}");
    let unkept = |reason: &Reason| matches!(reason, Reason::NotKept { fields } if fields.iter().any(|f| f.starts_with("driver_opts of network ")));
    assert!(plan.waiting.iter().any(|wait| unkept(&wait.reason)), "{:?}", plan.waiting);
}

#[test]
fn one_that_is_asked_for_otherwise_is() {
    let mut device = Device::at(target(json!({ "internal": true })));
    device.show_more();
    device.target = target(json!({}));
    assert!(device.removes_a_network_or_its_users());
}

#[test]
fn one_of_another_agent_that_differs_is() {
    let mut device = Device::at(target(json!({ "internal": true })));
    for network in &mut device.current.engine.networks {
        network.labels.remove(MADE_FROM_LABEL);
    }
    assert!(device.plan().is_settled());
    device.show_more();
    assert!(device.removes_a_network_or_its_users());
}
