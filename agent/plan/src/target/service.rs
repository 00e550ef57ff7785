//! One service of a release, in typed form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{ImageRef, Offence};
use crate::container::{Names, Options, Port, PortBinding};

/// How the containers of a service are replaced (behaviour §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Fetch all images of the release, then stop the old container, then start the new one.
    #[default]
    DownloadThenKill,
    /// Stop the old container first, then fetch.
    KillThenDownload,
    /// Stop the old container and remove its image, then fetch.
    DeleteThenDownload,
    /// Start the new container beside the old one, which goes when the new one says so.
    HandOver,
}

/// What a dependency must have reached before the dependent service starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its container runs (or has run).
    #[default]
    ServiceStarted,
    /// Its health check says healthy.
    ServiceHealthy,
    /// It exited with code 0.
    ServiceCompletedSuccessfully,
}

/// One entry of `depends_on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// What it must have reached.
    pub condition: Condition,
}

/// Which network stack the container gets (behaviour §4.3), in the release's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkChoice {
    /// The host's.
    Host,
    /// None at all.
    None,
    /// The engine's default bridge.
    Bridge,
    /// A network of the release, by its name there.
    Network(String),
    /// That of another service of the release.
    Service(String),
}

/// How a service takes part in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceNetwork {
    /// Further names; the service's own name is added when the container is specified.
    pub aliases: BTreeSet<String>,
    /// Fixed IPv4 address.
    pub ipv4_address: Option<String>,
    /// Fixed IPv6 address.
    pub ipv6_address: Option<String>,
    /// Link-local addresses.
    pub link_local_ips: BTreeSet<String>,
}

/// Where the content of a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A named volume of the release, written in the short form `name:/path[:mode]`.
    Short {
        /// Name in the release.
        volume: String,
        /// The mode, for example `ro`.
        mode: Option<String>,
    },
    /// A named volume of the release, in the long form.
    Volume {
        /// Name in the release.
        volume: String,
        /// Mounted read-only.
        read_only: bool,
        /// The image's content is not copied in.
        nocopy: bool,
    },
    /// An anonymous volume that lives with the container.
    Anonymous,
    /// Memory, in the long form.
    Tmpfs {
        /// Size in bytes; 0 is the engine's default.
        size: i64,
        /// Mounted read-only.
        read_only: bool,
    },
}

/// One mount of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServiceMount {
    /// Absolute path in the container.
    pub target: String,
    /// What is mounted there.
    pub source: MountSource,
}

/// One service of the target, every field typed and checked; binds and unknown fields are in `unsupported`.
#[derive(Clone, PartialEq, Serialize)]
pub struct Service {
    /// Its name in the release.
    pub name: String,
    /// Numeric id.
    pub id: u64,
    /// Numeric id of the image in the cloud; part of the container's name.
    pub image_id: u64,
    /// The image.
    pub image: ImageRef,
    /// Environment of the target, laid over the composition's.
    pub environment: BTreeMap<String, String>,
    /// Labels of the target laid over the composition's, `io.resin.*` rewritten to `io.balena.*`.
    pub labels: BTreeMap<String, String>,
    /// Whether it should run; `false` keeps it stopped.
    pub running: bool,
    /// Its requirement contract (behaviour §9), not yet evaluated.
    pub contract: Option<serde_json::Value>,
    /// Services that must come first, `service:` network mode included.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Which network stack it gets.
    pub network_mode: NetworkChoice,
    /// Networks of the release it joins, by their names there. Empty unless `network_mode` is a network.
    pub networks: BTreeMap<String, ServiceNetwork>,
    /// Ports published on the host.
    pub ports: BTreeSet<PortBinding>,
    /// Ports declared without publishing.
    pub expose: BTreeSet<Port>,
    /// Volumes and long-form mounts.
    pub mounts: BTreeSet<ServiceMount>,
    /// Host name asked for.
    pub hostname: Option<String>,
    /// All that means the same in a composition and in the engine.
    pub options: Options,
    /// What the composition asks for and the agent does not do, named and not lost: path and why.
    pub unsupported: Vec<Offence>,
}

impl fmt::Debug for Service {
    /// Without the values of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Field by field, so that a new one is thought about before it is shown.
        let Service {
            name,
            id,
            image_id,
            image,
            environment,
            labels,
            running,
            contract,
            depends_on,
            network_mode,
            networks,
            ports,
            expose,
            mounts,
            hostname,
            options,
            unsupported,
        } = self;
        f.debug_struct("Service")
            .field("name", name)
            .field("id", id)
            .field("image_id", image_id)
            .field("image", image)
            .field("environment", &Names(environment))
            .field("labels", labels)
            .field("running", running)
            .field("contract", contract)
            .field("depends_on", depends_on)
            .field("network_mode", network_mode)
            .field("networks", networks)
            .field("ports", ports)
            .field("expose", expose)
            .field("mounts", mounts)
            .field("hostname", hostname)
            .field("options", options)
            .field("unsupported", unsupported)
            .finish()
    }
}

impl Service {
    /// The update strategy its labels ask for; an unknown one means the default (behaviour §7).
    pub fn strategy(&self) -> Strategy {
        Strategy::from_label(self.labels.get("io.balena.update.strategy").map(String::as_str))
    }

    /// Whether the label `io.balena.features.<feature>` is switched on: `1`, `true` or `on` (protocol §18.3).
    pub fn has_feature(&self, feature: &str) -> bool {
        let is_feature = |label: &str| label.strip_prefix("io.balena.features.") == Some(feature);
        let is_on = |value: &str| ["1", "true", "on"].iter().any(|on| value.eq_ignore_ascii_case(on));
        self.labels.iter().any(|(label, value)| is_feature(label) && is_on(value))
    }
}

impl Strategy {
    /// Reads the value of the label `io.balena.update.strategy`.
    pub fn from_label(value: Option<&str>) -> Strategy {
        match value {
            Some("kill-then-download") => Strategy::KillThenDownload,
            Some("delete-then-download") => Strategy::DeleteThenDownload,
            Some("hand-over") => Strategy::HandOver,
            _ => Strategy::DownloadThenKill,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn debug_shows_names_of_variables_and_no_values() {
        let service = json!({ "id": 1, "image_id": 1, "image": "r.io/a", "labels": {},
            "environment": { "PASSWORD": "hunter2" }, "composition": { "environment": { "TOKEN": "hunter3" } } });
        let app = json!({ "id": 5, "name": "a", "releases": { "c0ffee": { "id": 1, "services": { "main": service } } } });
        let target = crate::target::parse(&json!({ "u": { "name": "d", "config": {}, "apps": { "a": app } } }), "u").unwrap();
        let document = (*target.apps["a"].document).clone();
        let settled = crate::memory::Settled { document, ..Default::default() };
        let text = format!("{target:?} {target:#?} {settled:?}");
        assert!(!text.contains("hunter") && text.contains("PASSWORD") && text.contains("TOKEN"), "{text}");
    }
}
