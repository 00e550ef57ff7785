//! From a container's specification to the engine's request.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, NetworkingConfig};
use holdfast_plan::container::{ContainerSpec, NetworkMode};

use super::endpoints::{endpoint_out, network_mode_out};
use super::mounts::mount_out;
use super::options_out::{healthcheck_out, host_config_out};
use super::ports::{bindings_out, exposed_out};
use super::recognise::Scope;

/// The request that makes a container in its main network; the other networks are joined afterwards
/// ([`other_networks`]). `Err` names the service whose container should have been looked up before.
pub(super) fn create_body<'a>(spec: &'a ContainerSpec, scope: &Scope) -> Result<ContainerCreateBody, &'a str> {
    let options = &spec.options;
    let labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        env: Some(spec.environment.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        labels: Some(scope.mark(labels)),
        hostname: spec.hostname.clone(),
        domainname: Some(options.domainname.clone()).filter(|name| !name.is_empty()),
        cmd: options.command.clone(),
        entrypoint: options.entrypoint.clone(),
        user: options.user.clone(),
        working_dir: options.working_dir.clone(),
        stop_signal: options.stop_signal.clone(),
        stop_timeout: Some(options.stop_grace_period_s),
        healthcheck: options.healthcheck.as_ref().map(healthcheck_out),
        tty: Some(options.tty),
        open_stdin: Some(options.stdin_open),
        exposed_ports: exposed_out(&spec.exposed, &spec.ports),
        volumes: Some(spec.anonymous_volumes.iter().cloned().collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        host_config: Some(host_config(spec)?),
        networking_config: main_network(spec),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &ContainerSpec) -> Result<HostConfig, &str> {
    Ok(HostConfig {
        network_mode: Some(network_mode_out(&spec.network_mode)?),
        binds: Some(spec.binds.iter().cloned().collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        mounts: Some(spec.mounts.iter().map(mount_out).collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        port_bindings: bindings_out(&spec.ports),
        ..host_config_out(&spec.options)
    })
}

/// The main network's endpoint. Engines before API 1.44 take only one at creation.
fn main_network(spec: &ContainerSpec) -> Option<NetworkingConfig> {
    let name = main_network_name(spec)?;
    let endpoint = endpoint_out(spec.networks.get(name)?);
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(name.to_owned(), endpoint)])) })
}

fn main_network_name(spec: &ContainerSpec) -> Option<&str> {
    match &spec.network_mode {
        NetworkMode::Network(name) => Some(name),
        _ => None,
    }
}

/// The networks a container has to join after it was made.
pub(super) fn other_networks(spec: &ContainerSpec) -> impl Iterator<Item = (&String, bollard::models::EndpointSettings)> {
    let main = main_network_name(spec).map(str::to_owned);
    let others = spec.networks.iter().filter(move |(name, _)| main.as_deref() != Some(name.as_str()));
    others.map(|(name, endpoint)| (name, endpoint_out(endpoint)))
}

#[cfg(test)]
mod tests {
    use holdfast_plan::container::Endpoint;

    use super::*;

    fn in_two_networks() -> ContainerSpec {
        ContainerSpec {
            network_mode: NetworkMode::Network("u_front".into()),
            networks: [("u_back".to_owned(), Endpoint::default()), ("u_front".to_owned(), Endpoint::default())].into(),
            ..ContainerSpec::default()
        }
    }

    #[test]
    fn the_main_network_goes_along_and_the_others_follow() {
        let spec = in_two_networks();
        let body = create_body(&spec, &Scope::default()).unwrap();
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(endpoints.into_keys().collect::<Vec<_>>(), ["u_front"]);
        assert_eq!(other_networks(&spec).map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["u_back"]);
    }

    #[test]
    fn a_service_as_network_is_named() {
        let spec = ContainerSpec { network_mode: NetworkMode::Service("db".into()), ..ContainerSpec::default() };
        assert_eq!(create_body(&spec, &Scope::default()).unwrap_err(), "db");
    }

    #[test]
    fn the_scope_goes_along() {
        let body = create_body(&ContainerSpec::default(), &Scope::new(Some("demo".into()))).unwrap();
        assert_eq!(body.labels.unwrap().get("io.holdfast.scope").map(String::as_str), Some("demo"));
    }
}
