//! Boot configuration and restarts, step by step, on the model the forecast uses.

use serde_json::json;

use super::MAX_REBOOTS;
use crate::boot::Values;
use crate::current::{BootFile, Current, LockHolder, ServiceLock};
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{GoingDown, Memory, PowerChange};
use crate::plan::{Action, Input, Plan, Reason, plan};
use crate::policy::{Force, Gate, Now, Policy};
use crate::target::{DeviceTarget, parse};

const DEVICE: &str = "00112233445566778899aabbccddeeff";
const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

fn target(config: &[(&str, &str)], labels: &serde_json::Value) -> DeviceTarget {
    let config: serde_json::Map<_, _> = config.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    let service = json!({ "id": 1, "image_id": 1, "image": format!("r.io/a@sha256:{}", "a".repeat(64)), "labels": labels,
        "environment": {}, "composition": {} });
    let releases = json!({ "c1": { "id": 1, "services": { "main": service }, "networks": {}, "volumes": {} } });
    let app = json!({ "id": 1, "name": "fleet", "class": "fleet", "is_host": false, "releases": releases });
    let apps = json!({ "aabbccddeeff00112233445566778899": app });
    parse(&json!({ DEVICE: { "name": "d", "config": config, "apps": apps } }), DEVICE).unwrap()
}

struct Device {
    current: Current,
    memory: Memory,
    policy: Policy,
    target: DeviceTarget,
    now: Now,
    done: Vec<Action>,
}

impl Device {
    fn with(config: &[(&str, &str)]) -> Device {
        Device::labelled(config, &json!({}))
    }

    fn labelled(config: &[(&str, &str)], labels: &serde_json::Value) -> Device {
        let mut current = Current::default();
        current.host.boot_id = "boot".into();
        current.host.device_type = "raspberrypi3".into();
        let says = Values::from([("gpu_mem".into(), vec!["16".into()]), ("arm_64bit".into(), vec!["1".into()])]);
        current.host.boot.insert("config.txt".into(), BootFile::Says(says));
        let memory = Memory { target_stored: true, ..Memory::default() };
        Device { current, memory, policy: Policy::default(), target: target(config, labels), now: NOW, done: Vec::new() }
    }

    fn plan(&self) -> Plan {
        let facts = Facts { boot_time_ms: Some(0), ..Facts::default() };
        let (current, target, memory, policy) = (&self.current, &self.target, &self.memory, &self.policy);
        plan(&Input { current, target, memory, facts: &facts, policy, now: self.now })
    }

    /// Carries the plan out until it can only wait, or restarts.
    fn run(&mut self) -> Plan {
        for _ in 0..50 {
            let plan = self.plan();
            if plan.steps.is_empty() {
                return plan;
            }
            for step in &plan.steps {
                apply(&mut self.current, &mut self.memory, step, self.now);
                self.done.push(step.action.clone());
            }
            if plan.steps.iter().any(|step| step.action == Action::Reboot) {
                assert_eq!(plan.steps.len(), 1, "nothing else happens beside a restart: {plan:?}");
                return plan;
            }
        }
        panic!("the plan does not end: {:?}", self.plan());
    }

    fn reboots(&self) -> usize {
        self.done.iter().filter(|action| **action == Action::Reboot).count()
    }

    fn said(&self, key: &str) -> Option<&str> {
        let Some(BootFile::Says(values)) = self.current.host.boot.get("config.txt") else { return None };
        values.get(key).map(|values| values[0].as_str())
    }

    fn application_locks(&mut self, locked: bool) {
        let lock = ServiceLock { holder: LockHolder::Application { file: "updates.lock".into(), since_ms: None } };
        let held = self.current.locks.held.entry(1).or_default();
        if locked {
            held.insert("main".into(), lock)
        } else {
            held.remove("main")
        };
    }
}

fn waits(plan: &Plan, matching: impl Fn(&Reason) -> bool) -> bool {
    plan.waiting.iter().any(|wait| matching(&wait.reason))
}

#[test]
fn a_variable_is_written_then_the_device_restarts_under_all_locks() {
    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "64")]);
    device.run();
    assert_eq!((device.said("gpu_mem"), device.said("arm_64bit")), (Some("64"), Some("1")));
    let names: Vec<&str> = device
        .done
        .iter()
        .filter_map(|action| match action {
            Action::WriteBootConfig { .. } => Some("write"),
            Action::Create { .. } => Some("create"),
            Action::Reboot => Some("reboot"),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["write", "create", "reboot"], "config and apps settle first");
    let last = device.done.iter().rposition(|action| matches!(action, Action::TakeLock { .. })).unwrap();
    assert!(!device.done[last..].iter().any(|action| matches!(action, Action::ReleaseLock { .. })));
    let after = device.run();
    assert!(after.is_settled() && device.reboots() == 1, "{after:?}");
}

#[test]
fn a_held_lock_delays_the_restart_and_not_the_writing() {
    let mut device = Device::with(&[]);
    device.run();
    device.application_locks(true);
    device.target = target(&[("HOST_CONFIG_gpu_mem", "64")], &json!({}));
    let held = device.run();
    assert_eq!((device.said("gpu_mem"), device.reboots()), (Some("64"), 0));
    assert!(waits(&held, |reason| matches!(reason, Reason::WaitingForLock { .. })));
    assert!(waits(&held, |reason| matches!(reason, Reason::RebootPending { .. })));
    device.policy.force = Some(Force::OverrideVariable);
    device.run();
    assert_eq!(device.reboots(), 1);
}

#[test]
fn windows_and_system_updates_delay_it_too() {
    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "64")]);
    device.current.host.os_update = true;
    assert!(waits(&device.run(), |reason| *reason == Reason::WaitingForOsUpdate));
    device.current.host.os_update = false;
    device.policy.switch = Gate::Until { wall_ms: None, why: "night".into() };
    assert!(waits(&device.run(), |reason| matches!(reason, Reason::WaitingForUpdateWindow { .. })));
    device.policy.switch = Gate::Open;
    device.run();
    assert_eq!(device.reboots(), 1);
}

#[test]
fn a_restart_that_does_not_help_is_not_repeated_for_ever() {
    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "64")]);
    for boot in 0..10 {
        device.current.host.boot_id = format!("boot {boot}");
        // Something puts the old value back at every start.
        let Some(BootFile::Says(values)) = device.current.host.boot.get_mut("config.txt") else { unreachable!() };
        values.insert("gpu_mem".into(), vec!["16".into()]);
        device.run();
    }
    assert_eq!(device.reboots(), MAX_REBOOTS as usize);
    assert!(waits(&device.run(), |reason| matches!(reason, Reason::RebootLoop { count: MAX_REBOOTS, .. })));
    assert_eq!(device.said("gpu_mem"), Some("16"), "it is not written again either");
    device.now.boot_ms = super::CALM_MS * 3;
    device.run();
    assert_eq!(device.reboots(), MAX_REBOOTS as usize, "time does not begin the loop again");
    device.target = target(&[("HOST_CONFIG_gpu_mem", "128")], &json!({}));
    device.run();
    assert_eq!(device.reboots(), MAX_REBOOTS as usize + 1, "another value may help");
}

#[test]
fn a_mark_that_stays_does_not_restart_for_ever() {
    let mut device = Device::with(&[]);
    for boot in 0..10 {
        device.current.host.boot_id = format!("boot {boot}");
        device.current.host.reboot.insert("somebody".into());
        device.run();
    }
    assert_eq!(device.reboots(), MAX_REBOOTS as usize);
}

#[test]
fn restarts_a_day_apart_are_no_loop() {
    let mut device = Device::with(&[]);
    device.now.boot_ms = super::CALM_MS;
    for boot in 0..10 {
        device.current.host.boot_id = format!("boot {boot}");
        device.current.host.reboot.insert("somebody".into());
        device.run();
    }
    assert_eq!(device.reboots(), 10);
}

#[test]
fn a_service_that_asks_for_it_is_started_after_a_restart() {
    let labels = json!({ "io.balena.update.requires-reboot": "1" });
    let mut device = Device::labelled(&[], &labels);
    device.run();
    assert_eq!(device.reboots(), 1);
    let after = device.run();
    assert!(after.is_settled() && device.current.engine.containers[0].is_up(), "{after:?}");

    let mut unset = Device::labelled(&[], &labels);
    unset.now.wall_ms = None;
    let plan = unset.run();
    assert!(unset.reboots() == 0 && waits(&plan, |reason| *reason == Reason::WaitingForReboot), "no clock, no conclusion");
}

#[test]
fn a_removed_variable_takes_its_key_along_and_nobody_elses() {
    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "16")]);
    device.run();
    assert_eq!(device.reboots(), 0, "it was so already");
    device.target = target(&[], &json!({}));
    device.run();
    assert_eq!((device.said("gpu_mem"), device.said("arm_64bit"), device.reboots()), (None, Some("1"), 1));
    assert!(device.memory.boot_keys.is_empty() || device.run().is_settled());
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_written() {
    let mut device = Device::with(&[("HOST_CONFIG_kernel", "mine"), ("HOST_EXTLINUX_fdt", "x.dtb")]);
    let plan = device.run();
    let said: Vec<String> = plan.waiting.iter().map(|wait| wait.reason.to_string()).collect();
    assert!(said.iter().any(|text| text.contains("HOST_CONFIG_kernel") && text.contains("blacklisted")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("HOST_EXTLINUX_fdt") && text.contains("raspberrypi3")), "{said:?}");
    assert!(device.reboots() == 0 && plan.is_settled());

    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "64")]);
    device.current.host.boot.insert("config.txt".into(), BootFile::Unusable("no such file".into()));
    let plan = device.run();
    assert!(waits(&plan, |reason| matches!(reason, Reason::BootFileUnusable { .. })) && device.reboots() == 0);
}

#[test]
fn nothing_is_done_while_it_goes_down() {
    let mut device = Device::with(&[("HOST_CONFIG_gpu_mem", "64")]);
    device.memory.going_down = Some(GoingDown { power: PowerChange::Reboot, until_boot_ms: NOW.boot_ms + 1 });
    let plan = device.run();
    assert!(plan.steps.is_empty() && device.done.is_empty() && plan.wake_boot_ms == Some(NOW.boot_ms + 1));
    device.now.boot_ms += 1;
    device.run();
    assert_eq!(device.reboots(), 1);
}
