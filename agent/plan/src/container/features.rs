//! What feature labels give a container (protocol §18.3).

use super::environment::Environment;
use super::{ContainerSpec, Endpoint, NetworkMode, SUPERVISOR_GATEWAY, SUPERVISOR_NETWORK};
use crate::facts::Facts;
use crate::target::{App, Service};

/// Path of the engine's socket in containers that may use it.
const SOCKET_IN_CONTAINER: &str = "/host/run/balena-engine.sock";

/// Features that are nothing but paths of the host: label, path on the host, path in the container and mode.
const PATHS: [(&str, &str, &str); 6] = [
    ("dbus", "/run/dbus", "/host/run/dbus"),
    ("sysfs", "/sys", "/sys"),
    ("procfs", "/proc", "/proc"),
    ("journal-logs", "/var/log/journal", "/var/log/journal:ro"),
    ("journal-logs", "/run/log/journal", "/run/log/journal:ro"),
    ("journal-logs", "/etc/machine-id", "/etc/machine-id:ro"),
];

/// Features that are given only where the host has the path.
const PATHS_WHERE_PRESENT: [(&str, &str); 2] = [("kernel-modules", "/lib/modules"), ("firmware", "/lib/firmware")];

/// Adds everything the service's feature labels ask for.
pub fn add(app: &App, service: &Service, facts: &Facts, spec: &mut ContainerSpec, environment: &mut Environment) {
    if !service.labels.keys().any(|label| label.starts_with("io.balena.features.")) {
        return;
    }
    add_paths(service, facts, spec);
    if service.has_feature("supervisor-api") {
        add_api(app, service, facts, spec, environment);
    }
    if service.has_feature("balena-api") {
        environment.set_both("BALENA_API_KEY", "RESIN_API_KEY", facts.device_api_key.as_deref());
        environment.set_both("BALENA_API_URL", "RESIN_API_URL", facts.api_endpoint.as_deref());
    }
    if service.has_feature("host-os.board-rev") {
        environment.set_both("BALENA_HOST_OS_BOARD_REV", "RESIN_HOST_OS_BOARD_REV", facts.board_rev.as_deref());
        environment.set_both("BALENA_HOST_OS_BUILD", "RESIN_HOST_OS_BUILD", facts.board_rev.as_deref());
    }
    if let Some(socket) = facts.engine_socket.as_deref().filter(|_| service.has_feature("balena-socket")) {
        for place in [SOCKET_IN_CONTAINER, socket, "/var/run/balena.sock"] {
            spec.binds.insert(format!("{socket}:{place}"));
        }
        environment.set("DOCKER_HOST", "unix:///host/run/balena-engine.sock");
    }
    if service.has_feature("gpu") {
        spec.options.gpus = 1;
    }
}

fn add_paths(service: &Service, facts: &Facts, spec: &mut ContainerSpec) {
    for (feature, host, container) in PATHS {
        if service.has_feature(feature) {
            spec.binds.insert(format!("{host}:{container}"));
        }
    }
    for (feature, path) in PATHS_WHERE_PRESENT {
        if service.has_feature(feature) && facts.host_paths.contains(path) {
            spec.binds.insert(format!("{path}:{path}"));
        }
    }
    if service.has_feature("extra-firmware") {
        spec.binds.insert("extra-firmware:/extra-firmware".into());
    }
}

/// The local API: its address, a key, and the network it is reached through.
fn add_api(app: &App, service: &Service, facts: &Facts, spec: &mut ContainerSpec, environment: &mut Environment) {
    let host = if spec.network_mode == NetworkMode::Host { "127.0.0.1" } else { SUPERVISOR_GATEWAY };
    // A container without a network stack of its own cannot join a network: its partner has to.
    if matches!(spec.network_mode, NetworkMode::Network(_) | NetworkMode::Bridge) {
        spec.networks.insert(SUPERVISOR_NETWORK.into(), Endpoint::default());
    }
    let key = facts.service_keys.get(&(app.id, service.name.clone()));
    environment.set_both("BALENA_SUPERVISOR_API_KEY", "RESIN_SUPERVISOR_API_KEY", key.map(String::as_str));
    environment.set_both("BALENA_SUPERVISOR_PORT", "RESIN_SUPERVISOR_PORT", Some(&facts.api_port.to_string()));
    environment.set_both("BALENA_SUPERVISOR_HOST", "RESIN_SUPERVISOR_HOST", Some(host));
    environment.set_both(
        "BALENA_SUPERVISOR_ADDRESS",
        "RESIN_SUPERVISOR_ADDRESS",
        Some(&format!("http://{host}:{}", facts.api_port)),
    );
}
