//! One step at a time on the containers of a service.

use std::sync::Arc;

use serde_json::json;

use crate::current::Current;
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::Memory;
use crate::plan::one_app::{self, service};
use crate::plan::{Action, Input, Plan, Step, plan};
use crate::policy::{Now, Policy};
use crate::target::DeviceTarget;

const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

/// One service, the same in every release.
fn target(commit: &str) -> DeviceTarget {
    one_app::target(commit, json!({ "main": service(1, "a", json!({})) }), json!({}))
}

struct Device {
    current: Current,
    memory: Memory,
    target: DeviceTarget,
}

impl Device {
    fn new(target: DeviceTarget) -> Device {
        Device { current: Current::default(), memory: Memory { target_stored: true, ..Memory::default() }, target }
    }

    fn plan(&self) -> Plan {
        let (current, target, memory) = (&self.current, &self.target, &self.memory);
        plan(&Input { current, target, memory, facts: &Facts::default(), policy: &Policy::default(), now: NOW })
    }

    fn apply(&mut self, step: &Step) {
        apply(&mut self.current, &mut self.memory, step, NOW);
    }

    /// Carries rounds out until one has steps on containers, which are not carried out; none when nothing is left to do.
    fn steps_on_containers(&mut self) -> Vec<Step> {
        for _ in 0..50 {
            let (on_containers, others): (Vec<Step>, Vec<Step>) =
                self.plan().steps.into_iter().partition(|step| step.place().is_some());
            others.iter().for_each(|step| self.apply(step));
            if !on_containers.is_empty() || others.is_empty() {
                return on_containers;
            }
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    fn run(&mut self) {
        loop {
            let steps = self.steps_on_containers();
            if steps.is_empty() {
                return;
            }
            steps.iter().for_each(|step| self.apply(step));
        }
    }

    fn names(&self) -> Vec<&str> {
        self.current.engine.containers.iter().map(|container| container.spec.name.as_str()).collect()
    }
}

/// The engine does not show it yet, and the next release gives it another name.
#[test]
fn nothing_is_made_beside_a_container_that_is_on_its_way() {
    let mut device = Device::new(target("c1"));
    let making = device.steps_on_containers().remove(0);
    assert!(matches!(making.action, Action::Create { .. }), "{making:?}");
    device.current.in_flight.insert(making.key(), None);
    device.target = target("c2");
    assert_eq!(device.steps_on_containers(), []);
    device.current.in_flight.clear();
    device.apply(&making);
    device.run();
    assert_eq!(device.names(), ["main_1_1_c2"]);
}

/// An older duplicate has the name that the newer one is to get: that fails while it is there.
#[test]
fn a_name_is_free_before_it_is_given() {
    let mut device = Device::new(target("c1"));
    device.run();
    let mut older = device.current.engine.containers[0].clone();
    (older.id, older.created_ms) = ("older".into(), older.created_ms - 1_000);
    Arc::make_mut(&mut older.spec).name = "main_1_1_c2".into();
    device.current.engine.containers.push(older);
    device.target = target("c2");
    let first = device.steps_on_containers();
    assert!(matches!(&first[..], [Step { action: Action::Kill { container }, .. }] if container.id == "older"), "{first:?}");
    device.run();
    assert_eq!(device.names(), ["main_1_1_c2"]);
}
