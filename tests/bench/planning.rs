//! Measures planning of 1,000 services: from an empty engine, with every image there, and with nothing to do, in the first
//! round of an agent and in those after it. Also its parts, which anybody who makes it faster wants to know.
//! `tests/bench/planning` runs it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;

use holdfast_plan::container::{differences, specify};
use holdfast_plan::current::Current;
use holdfast_plan::facts::Facts;
use holdfast_plan::forecast::apply;
use holdfast_plan::memory::Memory;
use holdfast_plan::plan::{Action, Input, Plan, Planner, plan};
use holdfast_plan::policy::{Now, Policy};
use holdfast_plan::target::{DeviceTarget, parse};
use serde_json::{Map, Value, json};

const REPEATS: usize = 21;

/// A device with so many apps of so many services each.
struct Bench {
    target: Arc<DeviceTarget>,
    facts: Facts,
    policy: Policy,
    now: Now,
}

impl Bench {
    fn new(apps: usize, services: usize) -> Bench {
        let document = json!({ "dev": { "name": "n", "config": {}, "apps": (0..apps).map(|app| (format!("{app:032x}"), app_of(app, services))).collect::<Map<_, _>>() } });
        let target = Arc::new(parse(&document, "dev").expect("a target"));
        assert!(target.refused.is_empty(), "{:?}", target.refused);
        let facts = Facts {
            uuid: "dev".into(),
            device_type: Some("generic-amd64".into()),
            device_arch: Some("amd64".into()),
            lock_root: "/tmp/balena-supervisor/services".into(),
            ..Facts::default()
        };
        let now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 1_000_000 };
        Bench { target, facts, policy: Policy::default(), now }
    }

    fn input<'a>(&'a self, current: &'a Current, memory: &'a Memory) -> Input<'a> {
        Input { current, target: &self.target, memory, facts: &self.facts, policy: &self.policy, now: self.now }
    }

    /// A round of an agent that just started.
    fn plan(&self, current: &Current, memory: &Memory) -> Plan {
        plan(&self.input(current, memory))
    }

    /// Runs the plan on a model of the device until nothing is left, or until containers are about to be made.
    fn forward(&self, until_creation: bool) -> (Current, Memory) {
        let (mut current, mut memory) = (Current::default(), Memory { target_stored: true, ..Memory::default() });
        loop {
            let plan = self.plan(&current, &memory);
            let creates = plan.steps.iter().any(|step| matches!(step.action, Action::Create { .. }));
            if plan.steps.is_empty() || (creates && until_creation) {
                return (current, memory);
            }
            plan.steps.iter().for_each(|step| apply(&mut current, &mut memory, step, self.now));
        }
    }
}

/// Services as they are met in the field: some variables, labels, a volume, a port, a dependency.
fn app_of(app: usize, services: usize) -> Value {
    let service = |number: usize| {
        let mut composition = json!({
            "restart": "always", "volumes": ["data:/data"], "ports": [format!("{}:80", 1024 + number)], "cap_add": ["NET_ADMIN"],
            "networks": { "default": { "aliases": ["a", "b"] } }, "mem_limit": "64m", "privileged": false,
            "healthcheck": { "test": "true", "interval": "30s" },
        });
        if !number.is_multiple_of(5) {
            composition["depends_on"] = json!([format!("service-{}", number - number % 5)]);
        }
        let value = json!({
            "id": app * 10_000 + number, "image_id": app * 10_000 + number,
            "image": format!("registry2.example.com/v2/{app:08x}{number:024x}@sha256:{app:032x}{number:032x}"),
            "environment": { "A": "1", "LOG_LEVEL": "info", "URL": "https://example.com/some/path", "TOKEN": "0123456789abcdef" },
            "labels": { "io.balena.features.dbus": "1", "org.example.team": "field" },
            "composition": composition,
        });
        (format!("service-{number}"), value)
    };
    json!({ "id": app + 1, "name": format!("fleet-{app}"), "class": "fleet", "is_host": false, "releases": { format!("{app:032x}"): {
        "id": app + 1, "services": (0..services).map(service).collect::<Map<_, _>>(),
        "volumes": { "data": {} }, "networks": {},
    } } })
}

/// Time this thread had on a processor, ms: what others do on the machine meanwhile does not count.
fn processor_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1000.0 + time.tv_nsec as f64 / 1_000_000.0
}

/// The fastest and the median of several runs, ms.
fn times_ms<T>(mut run: impl FnMut() -> T) -> (f64, f64) {
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let begin = processor_ms();
            black_box(run());
            processor_ms() - begin
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[REPEATS / 2])
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let small = std::env::args().any(|argument| argument == "--test");
    for (apps, services) in if small { [(2, 5), (1, 10)] } else { [(10, 100), (1, 1000)] } {
        println!("{:<54} {:>8} {:>8}  aim, ms", format!("{apps} app(s) of {services} services"), "fastest", "median");
        measure(&Bench::new(apps, services));
    }
}

fn measure(bench: &Bench) {
    let (empty, stored) = (Current::default(), Memory { target_stored: true, ..Memory::default() });
    let (pulled, after_pull) = bench.forward(true);
    let (settled, remembered) = bench.forward(false);
    let creations = bench.plan(&pulled, &after_pull).steps.len();
    let end = bench.plan(&settled, &remembered);
    assert!(end.is_settled() && settled.engine.containers.len() >= creations, "{end:?}");
    let line =
        |what: &str, (fastest, median): (f64, f64), aim: &str| println!("  {what:<52} {fastest:>8.2} {median:>8.2}  {aim}");
    line("from scratch", times_ms(|| bench.plan(&empty, &stored)), "10");
    line(&format!("from scratch, images there: {creations} steps"), times_ms(|| bench.plan(&pulled, &after_pull)), "10");
    line("nothing to do, the first time", times_ms(|| bench.plan(&settled, &remembered)), "");
    let mut planner = Planner::default();
    assert_eq!(planner.plan(&bench.target, &bench.input(&settled, &remembered)), end);
    let again = || planner.plan(&bench.target, &bench.input(&settled, &remembered));
    line("nothing to do, again", times_ms(again), "2");

    let services = || {
        let releases = bench.target.apps.values().filter_map(|app| Some((app, app.release.as_ref()?)));
        releases.flat_map(|(app, release)| release.services.values().map(move |service| (app, release, service)))
    };
    let specify_all = || {
        let specs = services().map(|(app, release, service)| specify(app, release, service, &bench.facts, Some("sha256:00")));
        specs.collect::<Vec<_>>()
    };
    line("  specifying every container", times_ms(specify_all), "");
    let wanted: Vec<_> = services()
        .map(|(app, release, service)| {
            let of_it = |c: &&holdfast_plan::current::Container| c.app_id == app.id && c.service == service.name;
            let present = settled.engine.containers.iter().find(of_it).expect("it was made");
            (present, specify(app, release, service, &bench.facts, Some(&present.image_id)))
        })
        .collect();
    let compare_all = || wanted.iter().map(|(present, wanted)| differences(present, wanted).len()).sum::<usize>();
    assert_eq!(compare_all(), 0);
    line("  comparing every container", times_ms(compare_all), "");
}
