//! Targets as the cloud words them (version 3).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{unique, unique_uuid};

/// An app of one test.
#[derive(Clone, Debug)]
pub struct App {
    pub id: u64,
    pub uuid: String,
    pub name: String,
}

impl App {
    pub fn new() -> App {
        let id = unique();
        App { id, uuid: unique_uuid(), name: format!("fleet-{id}") }
    }

    /// Name of a network in the engine.
    pub fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.uuid)
    }

    /// Name of a volume in the engine.
    pub fn volume(&self, name: &str) -> String {
        format!("{}_{name}", self.id)
    }
}

/// A release being put together.
#[derive(Clone, Debug)]
pub struct Release {
    pub commit: String,
    services: Map<String, Value>,
    volumes: Map<String, Value>,
    networks: Map<String, Value>,
}

impl Release {
    /// A release without anything in it. Commits are 32 hex digits: `text` is made into one.
    pub fn new(text: &str) -> Release {
        let commit = format!("{:032x}", number(text));
        Release { commit, services: Map::new(), volumes: Map::new(), networks: Map::new() }
    }

    /// The same content as another release.
    pub fn again_as(&self, text: &str) -> Release {
        Release { commit: Release::new(text).commit, ..self.clone() }
    }

    pub fn service(mut self, name: &str, service: Service) -> Release {
        let ids = [("id", number(name) % 1_000_000), ("image_id", number(&service.image) % 1_000_000_000)];
        let mut value = json!({
            "image": service.image, "environment": service.environment, "labels": service.labels,
            "composition": service.composition,
        });
        for (key, id) in ids {
            value[key] = json!(id);
        }
        self.services.insert(name.to_owned(), value);
        self
    }

    pub fn volume(self, name: &str) -> Release {
        self.volume_with(name, json!({}))
    }

    /// A volume with a definition of its own.
    pub fn volume_with(mut self, name: &str, definition: Value) -> Release {
        self.volumes.insert(name.to_owned(), definition);
        self
    }

    pub fn network(mut self, name: &str, network: Value) -> Release {
        self.networks.insert(name.to_owned(), network);
        self
    }

    /// The name of a service's container (behaviour of the field: `<service>_<imageId>_<releaseId>_<commit>`).
    pub fn container_name(&self, service: &str) -> String {
        let image_id = &self.services[service]["image_id"];
        format!("{service}_{image_id}_{}_{}", number(&self.commit) % 1_000_000, self.commit)
    }

    /// The numeric id of a service.
    pub fn service_id(&self, service: &str) -> u64 {
        self.services[service]["id"].as_u64().expect("a number")
    }

    /// The services' names, sorted.
    pub fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.services.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn value(&self) -> Value {
        json!({
            "id": number(&self.commit) % 1_000_000, "services": self.services, "volumes": self.volumes, "networks": self.networks,
        })
    }
}

/// An image the simulated engine can pull; others for other numbers.
fn simulated_image(number: u32) -> String {
    format!("registry.example.com/v2/{number:032x}@sha256:{number:064x}")
}

/// A release of `db`, which is the same in all of them, and `main`, which is not and depends on it; for the simulated engine.
pub fn numbered_release(number: u32) -> Release {
    Release::new(&format!("release {number}"))
        .service("db", Service::new(&simulated_image(1)))
        .service("main", Service::new(&simulated_image(10 + number)).depends_on(&["db"]))
}

/// A service of a release.
#[derive(Clone, Debug)]
pub struct Service {
    image: String,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    composition: Map<String, Value>,
}

impl Service {
    pub fn new(image: &str) -> Service {
        Service { image: image.to_owned(), environment: BTreeMap::new(), labels: BTreeMap::new(), composition: Map::new() }
    }

    pub fn variable(mut self, name: &str, value: &str) -> Service {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn label(mut self, name: &str, value: &str) -> Service {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Any compose field.
    pub fn field(mut self, name: &str, value: Value) -> Service {
        self.composition.insert(name.to_owned(), value);
        self
    }

    pub fn depends_on(self, services: &[&str]) -> Service {
        self.field("depends_on", json!(services))
    }

    pub fn mount(self, volume: &str) -> Service {
        self.field("volumes", json!([volume]))
    }

    pub fn publish(self, port: &str) -> Service {
        self.field("ports", json!([port]))
    }
}

/// The entry of one device: its apps with the release each should run, and its configuration variables.
pub fn device_target(apps: &[(&App, &Release)], config: &[(&str, &str)]) -> Value {
    let config: BTreeMap<&str, &str> = config.iter().copied().collect();
    let apps: Map<String, Value> = apps
        .iter()
        .map(|(app, release)| {
            let value = json!({
                "id": app.id, "name": app.name, "class": "fleet", "is_host": false,
                "releases": { release.commit.clone(): release.value() },
            });
            (app.uuid.clone(), value)
        })
        .collect();
    json!({ "name": "a-device", "config": config, "apps": apps })
}

/// A number that stands for a text: ids in the cloud are numbers, and the same thing has the same one in every release.
fn number(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)) >> 1
}
