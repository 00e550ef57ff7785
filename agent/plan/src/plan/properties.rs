//! What holds for every target: its rounds come to an end, the end is the target, the order of the services' texts does not
//! matter, and what is kept from round to round changes no plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Action, Input, Plan, Planner, plan};
use crate::current::Current;
use crate::facts::Facts;
use crate::forecast::apply;
use crate::memory::{Memory, Remember};
use crate::policy::{Now, Policy};
use crate::target::{DeviceTarget, parse};

/// More rounds than a target of this size can need.
const MOST_ROUNDS: usize = 100;

const STRATEGIES: &[&str] = &["download-then-kill", "kill-then-download", "delete-then-download", "hand-over"];
const NETWORKS: &[&str] = &["", "", "host", "none", "service"];

#[derive(Clone, Debug)]
struct ServiceWish {
    revision: u8,
    image: u8,
    strategy: &'static str,
    network: &'static str,
    restart: &'static str,
    has_volume: bool,
    /// The service before this one, in the order of names.
    depends: bool,
}

#[derive(Clone, Debug)]
struct AppWish {
    services: Vec<ServiceWish>,
    is_internal: bool,
}

fn service() -> impl Strategy<Value = ServiceWish> {
    let choice = (prop::sample::select(STRATEGIES), prop::sample::select(NETWORKS));
    let restart = prop::sample::select(&["always", "no", "unless-stopped"][..]);
    (0..3_u8, 0..4_u8, choice, restart, any::<bool>(), any::<bool>()).prop_map(
        |(revision, image, (strategy, network), restart, has_volume, depends)| ServiceWish {
            revision,
            image,
            strategy,
            network,
            restart,
            has_volume,
            depends,
        },
    )
}

fn apps() -> impl Strategy<Value = Vec<AppWish>> {
    let app = (prop::collection::vec(service(), 0..5), any::<bool>());
    prop::collection::vec(app.prop_map(|(services, is_internal)| AppWish { services, is_internal }), 0..3)
}

fn service_document(app: usize, number: usize, wish: &ServiceWish) -> Value {
    let before = number.checked_sub(1).map(|before| format!("s{before}"));
    let mut composition = json!({ "restart": wish.restart });
    match (wish.network, &before) {
        ("service", Some(before)) => composition["network_mode"] = format!("service:{before}").into(),
        ("" | "service", _) => {}
        (mode, _) => composition["network_mode"] = mode.into(),
    }
    if wish.has_volume {
        composition["volumes"] = json!(["data:/data"]);
    }
    if let Some(before) = before.filter(|_| wish.depends) {
        composition["depends_on"] = json!([before]);
    }
    json!({
        "id": number + 1, "image_id": 100 * app + number, "image": format!("r.io/i{}@sha256:{:064x}", wish.image, wish.image),
        "environment": { "REVISION": wish.revision.to_string() },
        "labels": { "io.balena.update.strategy": wish.strategy, "io.balena.update.handover-timeout": "1000" },
        "composition": composition,
    })
}

/// The target, its services written in one order or the other.
fn target(apps: &[AppWish], release: u64, is_reversed: bool) -> Arc<DeviceTarget> {
    let app = |(number, app): (usize, &AppWish)| {
        let mut services: Vec<(String, Value)> =
            app.services.iter().enumerate().map(|(n, wish)| (format!("s{n}"), service_document(number, n, wish))).collect();
        if is_reversed {
            services.reverse();
        }
        let release = json!({ format!("c{release}"): { "id": release, "services": services.into_iter().collect::<Map<_, _>>(),
            "volumes": { "data": {} }, "networks": { "default": { "internal": app.is_internal } } } });
        let document = json!({ "id": number + 1, "name": format!("fleet{number}"), "class": "fleet", "is_host": false, "releases": release });
        (format!("{number:032x}"), document)
    };
    let apps: Map<String, Value> = apps.iter().enumerate().map(app).collect();
    let target = parse(&json!({ "dev": { "name": "d", "config": {}, "apps": apps } }), "dev").unwrap();
    assert!(target.refused.is_empty(), "{:?}", target.refused);
    Arc::new(target)
}

/// A model of a device, with the planner that goes along with it.
struct Device {
    current: Current,
    memory: Memory,
    facts: Facts,
    now: Now,
    planner: Planner,
}

impl Device {
    fn new() -> Device {
        let now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };
        let memory = Memory { target_stored: true, ..Memory::default() };
        let facts = Facts { uuid: "dev".into(), lock_root: "/locks".into(), ..Facts::default() };
        Device { current: Current::default(), memory, facts, now, planner: Planner::default() }
    }

    /// One round, planned anew and on what was found out before.
    fn plan(&mut self, target: &Arc<DeviceTarget>) -> Plan {
        let (current, memory, facts, policy) = (&self.current, &self.memory, &self.facts, &Policy::default());
        let input = Input { current, target, memory, facts, policy, now: self.now };
        let anew = plan(&input);
        assert_eq!(self.planner.plan(target, &input), anew, "what was found out before changes the plan");
        anew
    }

    /// Carries out round after round to the end, which has to be the target.
    fn run(&mut self, target: &Arc<DeviceTarget>) {
        for _ in 0..MOST_ROUNDS {
            let plan = self.plan(target);
            if plan.is_settled() {
                return self.check(target);
            }
            plan.steps.iter().for_each(|step| apply(&mut self.current, &mut self.memory, step, self.now));
            if plan.steps.is_empty() {
                let wake = plan.wake_boot_ms.unwrap_or_else(|| panic!("nothing to do and nothing to wait for: {plan:?}"));
                let ahead = wake - self.now.boot_ms;
                assert!(ahead > 0, "{plan:?}");
                self.now.boot_ms += ahead;
                self.now.machine_ms += ahead;
            }
        }
        panic!("no end: {:?}", self.plan(target));
    }

    fn check(&self, target: &DeviceTarget) {
        let names = |release: &crate::target::Release| release.services.keys().cloned().collect::<Vec<_>>();
        let wanted: BTreeSet<(u64, String)> = target
            .apps
            .values()
            .flat_map(|app| app.release.iter().flat_map(names).map(|name| (app.id, name)).collect::<Vec<_>>())
            .collect();
        let present: Vec<(u64, String)> = self.current.engine.containers.iter().map(|c| (c.app_id, c.service.clone())).collect();
        assert_eq!(present.len(), wanted.len(), "{present:?}");
        assert_eq!(present.into_iter().collect::<BTreeSet<_>>(), wanted);
        assert!(self.current.locks.held.values().all(|locks| locks.is_empty()), "locks are given back");
    }
}

/// The plan without the text of the target that is put on record.
fn doings(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for step in &mut plan.steps {
        if let Action::Remember { change: Remember::Settle { settled, .. } } = &mut step.action {
            (settled.fingerprint, settled.document) = (String::new(), Value::Null);
        }
    }
    plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rounds_end_at_the_target_and_nothing_is_left_to_do(first in apps(), second in apps()) {
        let mut device = Device::new();
        for (release, wish) in [(1, &first), (2, &second), (3, &first)] {
            let target = target(wish, release, false);
            device.run(&target);
            let end = device.plan(&target);
            prop_assert!(end.steps.is_empty() && end.wake_boot_ms.is_none(), "{:?}", end);
        }
    }

    #[test]
    fn the_order_of_the_services_does_not_matter(first in apps(), second in apps()) {
        let mut device = Device::new();
        device.run(&target(&first, 1, false));
        let (forward, mut backward) = (target(&second, 2, false), target(&second, 2, true));
        for (uuid, app) in &mut Arc::make_mut(&mut backward).apps {
            // Another text of the same is put on record anew, which is no difference in what is done.
            app.fingerprint.clone_from(&forward.apps[uuid].fingerprint);
        }
        for _ in 0..4 {
            let plan = device.plan(&forward);
            prop_assert_eq!(doings(&plan), doings(&device.plan(&backward)));
            plan.steps.iter().for_each(|step| apply(&mut device.current, &mut device.memory, step, device.now));
        }
    }

    #[test]
    fn what_changes_behind_the_planners_back_is_seen(apps in apps(), which in any::<prop::sample::Index>(), how in 0..5_u8) {
        let mut device = Device::new();
        let target = target(&apps, 1, false);
        device.run(&target);
        let count = device.current.engine.containers.len();
        prop_assume!(count > 0);
        let container = &mut device.current.engine.containers[which.index(count)];
        match how {
            0 => Arc::make_mut(&mut container.spec).options.cpu_shares = 7,
            1 => drop(Arc::make_mut(&mut container.spec).environment.insert("REVISION".into(), "other".into())),
            2 => {
                container.image_id = "sha256:other".into();
                Arc::make_mut(&mut container.spec).image = "sha256:other".into();
            }
            3 => Arc::make_mut(&mut container.spec).name = "other_1_1_c0".into(),
            _ => drop(device.current.engine.containers.remove(which.index(count))),
        }
        let plan = device.plan(&target);
        prop_assert!(!plan.is_settled(), "{:?}", plan);
        device.run(&target);
    }
}
