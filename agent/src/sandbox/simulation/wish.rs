//! What the cloud asks for during a simulation: targets as plain data, and the documents made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_plan::current::Health;
use holdfast_plan::target::ImageRef;
use serde_json::{Value, json};

use crate::sandbox::engine::{Catalogue, Entry, Program};
use crate::sandbox::registry::digest;

/// The simulated device.
pub(super) const DEVICE: &str = "51ed51ed51ed51ed51ed51ed51ed51ed";

/// How the program of an image behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Runs and becomes healthy soon.
    Steady,
    /// The same, but takes longer to end than its grace period allows.
    EndsSlowly,
    /// Does its work and ends with 0.
    OneShot,
    /// Runs, and its health check says no.
    Unhealthy,
    /// Ends with 1 soon after each start.
    Crashes,
    /// Cannot be started at all.
    CannotStart,
}

impl Behaviour {
    /// Whether a release with it should fail its trial.
    pub fn is_bad(self, health_check: bool) -> bool {
        match self {
            Behaviour::Steady | Behaviour::EndsSlowly | Behaviour::OneShot => false,
            Behaviour::Unhealthy => health_check,
            Behaviour::Crashes | Behaviour::CannotStart => true,
        }
    }

    fn program(self) -> Program {
        let steady = Program::default();
        match self {
            Behaviour::Steady => steady,
            Behaviour::EndsSlowly => Program { stop_takes: Duration::from_secs(25), ..steady },
            Behaviour::OneShot => Program { exits: Some((Duration::from_secs(2), 0)), ..steady },
            Behaviour::Unhealthy => Program { health: vec![(Duration::from_secs(3), Health::Unhealthy)], ..steady },
            Behaviour::Crashes => Program { exits: Some((Duration::from_secs(1), 1)), ..steady },
            Behaviour::CannotStart => Program { start_error: Some("exec format error".into()), ..steady },
        }
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceWish {
    pub image: String,
    pub behaviour: Behaviour,
    pub health_check: bool,
    /// Counts changes of the configuration; stands in the environment.
    pub revision: u32,
    pub running: bool,
    pub restart: &'static str,
    pub strategy: &'static str,
    pub depends_on: BTreeMap<String, &'static str>,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub port: Option<u16>,
    pub shares_network_of: Option<String>,
    pub handover_ms: Option<u32>,
    pub gate_ms: Option<u32>,
    pub asks_for_api: bool,
    pub asks_for_reboot: bool,
    /// For a setting that the kernels of some devices drop.
    pub asks_for_oom_protection: bool,
    pub contract: Contract,
}

/// Whether a service's contract is met here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contract {
    None,
    Unmet,
    UnmetOptional,
}

impl Default for ServiceWish {
    fn default() -> Self {
        ServiceWish {
            image: String::new(),
            behaviour: Behaviour::Steady,
            health_check: false,
            revision: 1,
            running: true,
            restart: "always",
            strategy: "download-then-kill",
            depends_on: BTreeMap::new(),
            networks: BTreeSet::new(),
            volumes: BTreeSet::new(),
            port: None,
            shares_network_of: None,
            handover_ms: None,
            gate_ms: None,
            asks_for_api: false,
            asks_for_reboot: false,
            asks_for_oom_protection: false,
            contract: Contract::None,
        }
    }
}

impl ServiceWish {
    fn labels(&self) -> BTreeMap<&'static str, String> {
        let mut labels = BTreeMap::from([("io.balena.update.strategy", self.strategy.to_owned())]);
        if let Some(ms) = self.handover_ms {
            labels.insert("io.balena.update.handover-timeout", ms.to_string());
        }
        if let Some(ms) = self.gate_ms {
            labels.insert("io.balena.update.health-timeout", ms.to_string());
        }
        let switches = [
            (self.asks_for_api, "io.balena.features.supervisor-api"),
            (self.asks_for_reboot, "io.balena.update.requires-reboot"),
            (self.contract == Contract::UnmetOptional, "io.balena.features.optional"),
        ];
        labels.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, label)| (label, "1".to_owned())));
        labels
    }

    fn document(&self, id: u64) -> Value {
        let mut composition = json!({ "restart": self.restart });
        if let Some(other) = &self.shares_network_of {
            composition["network_mode"] = json!(format!("service:{other}"));
        } else if !self.networks.is_empty() {
            composition["networks"] = json!(self.networks);
        }
        if !self.depends_on.is_empty() {
            let conditions = self.depends_on.iter().map(|(name, condition)| (name.clone(), json!({ "condition": condition })));
            composition["depends_on"] = Value::Object(conditions.collect());
        }
        if !self.volumes.is_empty() {
            let mounts: Vec<String> = self.volumes.iter().map(|name| format!("{name}:/{name}")).collect();
            composition["volumes"] = json!(mounts);
        }
        if let Some(port) = self.port {
            composition["ports"] = json!([format!("{port}:80")]);
        }
        if self.asks_for_oom_protection {
            composition["oom_kill_disable"] = json!(true);
        }
        if self.health_check {
            composition["healthcheck"] = json!({ "test": ["CMD", "/check"] });
        }
        let mut document = json!({
            "id": id, "image_id": id, "image": self.image, "running": self.running,
            "environment": { "REVISION": self.revision.to_string() }, "labels": self.labels(), "composition": composition,
        });
        if self.contract != Contract::None {
            document["contract"] =
                json!({ "type": "sw.container", "requires": [{ "type": "sw.supervisor", "version": ">=99" }] });
        }
        document
    }
}

/// One release.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReleaseWish {
    pub commit: String,
    pub id: u64,
    pub services: BTreeMap<String, ServiceWish>,
    /// Networks with the number of their definition.
    pub networks: BTreeMap<String, u32>,
    /// Volumes with the number of their definition.
    pub volumes: BTreeMap<String, u32>,
}

impl ReleaseWish {
    /// Services that run on this device as far as contracts go; `None` when one keeps the whole release away.
    pub fn accepted(&self) -> Option<BTreeMap<&str, &ServiceWish>> {
        if self.services.values().any(|service| service.contract == Contract::Unmet) {
            return None;
        }
        let here = self.services.iter().filter(|(_, service)| service.contract == Contract::None);
        Some(here.map(|(name, service)| (name.as_str(), service)).collect())
    }

    fn document(&self) -> Value {
        let numbered = |map: &BTreeMap<String, u32>, first: &str| -> Value {
            let one = |(name, number): (&String, &u32)| {
                let definition = if *number == 0 { json!({}) } else { json!({ "labels": { first: number.to_string() } }) };
                (name.clone(), definition)
            };
            Value::Object(map.iter().map(one).collect())
        };
        let services = self.services.iter().enumerate();
        let services = services.map(|(number, (name, service))| (name.clone(), service.document(100 + number as u64)));
        json!({
            "id": self.id, "services": Value::Object(services.collect()),
            "networks": numbered(&self.networks, "shape"), "volumes": numbered(&self.volumes, "shape"),
        })
    }
}

/// One app.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AppWish {
    pub id: u64,
    pub uuid: String,
    /// The document is spoilt, so that the agent has to refuse this app alone.
    pub spoilt: bool,
    /// `None`: every service of the app is to be removed.
    pub release: Option<ReleaseWish>,
}

impl AppWish {
    fn document(&self) -> Value {
        let mut releases = serde_json::Map::new();
        if let Some(release) = &self.release {
            let mut document = release.document();
            if self.spoilt {
                document["services"]["spoilt"] = json!({ "id": 1, "image_id": 1, "image": "" });
            }
            releases.insert(release.commit.clone(), document);
        }
        json!({ "id": self.id, "name": format!("app{}", self.id), "class": "fleet", "releases": releases })
    }
}

/// A whole target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wish {
    pub apps: BTreeMap<u64, AppWish>,
    pub config: BTreeMap<&'static str, String>,
}

impl Wish {
    /// The document a cloud would send.
    pub fn document(&self) -> Value {
        let apps: serde_json::Map<String, Value> = self.apps.values().map(|app| (app.uuid.clone(), app.document())).collect();
        json!({ DEVICE: { "name": "simulated", "config": self.config, "apps": apps } })
    }

    /// Tells the registry how the images behave.
    pub fn publish(&self, catalogue: &mut Catalogue) {
        for service in self.services() {
            if let Ok(image) = service.image.parse::<ImageRef>() {
                let entry = Entry { program: service.behaviour.program(), duration: Duration::from_secs(4), ..Entry::default() };
                catalogue.set(&image, entry);
            }
        }
    }

    fn services(&self) -> impl Iterator<Item = &ServiceWish> {
        self.apps.values().filter_map(|app| app.release.as_ref()).flat_map(|release| release.services.values())
    }
}

/// An image reference: by digest, or (`by_tag`) by a tag that stands for its content.
pub(super) fn image_reference(repository: &str, content: &str, by_tag: bool) -> String {
    if by_tag {
        format!("registry.sim/{repository}:{content}")
    } else {
        format!("registry.sim/{repository}@{}", digest(content.as_bytes()))
    }
}
