//! A container as the engine is given it and as it is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Healthcheck, Options};

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// Protocol.
    pub protocol: Protocol,
    /// Number in the container.
    pub number: u16,
}

/// A port of the container published on the host. Ranges are written out, one binding a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// The container's side.
    pub port: Port,
    /// Address on the host; empty is every address.
    pub host_ip: String,
    /// Port on the host; 0 lets the engine choose.
    pub host_port: u16,
}

/// The network stack of a container, in the engine's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The host's.
    Host,
    /// None.
    None,
    /// The engine's default bridge.
    Bridge,
    /// A network, by its name in the engine.
    Network(String),
    /// That of another container, by its id.
    Container(String),
    /// That of another service of the same app, whose container is not known yet; resolved to `Container` before the
    /// container is created.
    Service(String),
}

/// How a container takes part in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Names it answers to.
    pub aliases: BTreeSet<String>,
    /// Fixed IPv4 address.
    pub ipv4_address: Option<String>,
    /// Fixed IPv6 address.
    pub ipv6_address: Option<String>,
    /// Link-local addresses.
    pub link_local_ips: BTreeSet<String>,
}

/// A mount in the engine's long form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Mount {
    /// A named volume.
    Volume {
        /// Name in the engine.
        source: String,
        /// Path in the container.
        target: String,
        /// Mounted read-only.
        read_only: bool,
        /// The image's content is not copied in.
        nocopy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Path in the container.
        target: String,
        /// Size in bytes; 0 is the engine's default.
        size: i64,
        /// Mounted read-only.
        read_only: bool,
    },
}

/// A container: wanted (made by [`super::specify`]) or present (read back by the engine).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name in the engine, without a leading slash.
    pub name: String,
    /// The image to run: an engine image id (`sha256:…`) where it is known, else a reference.
    pub image: String,
    /// Environment. Wanted: without the image's; present: everything.
    pub environment: BTreeMap<String, String>,
    /// Labels. Wanted: without the image's; present: everything.
    pub labels: BTreeMap<String, String>,
    /// Host name; `None` where the engine makes one up. A present name equal to the 12-character id counts as `None`.
    pub hostname: Option<String>,
    /// Network stack.
    pub network_mode: NetworkMode,
    /// Networks by their names in the engine.
    pub networks: BTreeMap<String, Endpoint>,
    /// Published ports.
    pub ports: BTreeSet<PortBinding>,
    /// Ports declared without publishing. Present: those of the image too.
    pub exposed: BTreeSet<Port>,
    /// Bind strings `source:/path[:mode]` (named volumes and the agent's own host paths).
    pub binds: BTreeSet<String>,
    /// Long-form mounts.
    pub mounts: BTreeSet<Mount>,
    /// Anonymous volumes. Present: those of the image too.
    pub anonymous_volumes: BTreeSet<String>,
    /// Everything else.
    pub options: Options,
}

/// Variables by their names: values are keys and passwords as often as not, and a log may be read by anybody.
pub(crate) struct Names<'a>(pub &'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for ContainerSpec {
    /// Without the values of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Field by field, so that a new one is thought about before it is shown.
        let ContainerSpec {
            name,
            image,
            environment,
            labels,
            hostname,
            network_mode,
            networks,
            ports,
            exposed,
            binds,
            mounts,
            anonymous_volumes,
            options,
        } = self;
        f.debug_struct("ContainerSpec")
            .field("name", name)
            .field("image", image)
            .field("environment", &Names(environment))
            .field("labels", labels)
            .field("hostname", hostname)
            .field("network_mode", network_mode)
            .field("networks", networks)
            .field("ports", ports)
            .field("exposed", exposed)
            .field("binds", binds)
            .field("mounts", mounts)
            .field("anonymous_volumes", anonymous_volumes)
            .field("options", options)
            .finish()
    }
}

impl Default for ContainerSpec {
    fn default() -> Self {
        ContainerSpec {
            name: String::new(),
            image: String::new(),
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            hostname: None,
            network_mode: NetworkMode::Bridge,
            networks: BTreeMap::new(),
            ports: BTreeSet::new(),
            exposed: BTreeSet::new(),
            binds: BTreeSet::new(),
            mounts: BTreeSet::new(),
            anonymous_volumes: BTreeSet::new(),
            options: Options::default(),
        }
    }
}

/// What an image brings along: the defaults a container has when its specification says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the image configuration's field of the same name")]
pub struct ImageConfig {
    pub command: Vec<String>,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub user: String,
    pub working_dir: String,
    pub stop_signal: Option<String>,
    pub healthcheck: Option<Healthcheck>,
    pub volumes: BTreeSet<String>,
    pub exposed: BTreeSet<Port>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_of_variables_and_no_values() {
        let environment = BTreeMap::from([("PASSWORD".to_owned(), "hunter2".to_owned())]);
        let spec = ContainerSpec { name: "main_1".into(), environment, ..ContainerSpec::default() };
        let text = format!("{spec:?} {spec:#?}");
        assert!(!text.contains("hunter") && text.contains("PASSWORD") && text.contains("main_1"), "{text}");
    }
}
