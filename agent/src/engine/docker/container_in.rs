//! From the engine's description of a container to ours (behaviour §4.5, "Container read-back").

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bollard::models::{self, ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use holdfast_plan::container::{ContainerName, ContainerSpec, NetworkMode};
use holdfast_plan::current::{Container, ContainerState, Health};

use super::endpoints::{endpoints_in, is_id_of, network_mode_in};
use super::mounts::{binds_in, mounts_in};
use super::options_in::options_in;
use super::ports::{bindings_in, exposed_in};
use super::recognise::{Scope, label};
use super::time::unix_ms;

/// Reads a container; the error says why it cannot be one of ours although its labels say so. The image's defaults are
/// not part of this answer.
pub(super) fn container_in(answer: ContainerInspectResponse, scope: &Scope) -> Result<Container, String> {
    let id = answer.id.clone().ok_or("the engine gave no id")?;
    let config = answer.config.clone().unwrap_or_default();
    let labels = config.labels.clone().unwrap_or_default();
    let name = answer.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let parsed = ContainerName::parse(&name);
    let state = answer.state.clone().unwrap_or_default();
    let service = label(&labels, "service-name").map(str::to_owned).or_else(|| parsed.as_ref().map(|name| name.service.clone()));
    Ok(Container {
        app_id: app_id(&labels)?,
        app_uuid: label(&labels, "app-uuid").map(str::to_owned),
        service: service.ok_or("neither its labels nor its name tell the service")?,
        service_id: label(&labels, "service-id").and_then(|text| text.parse().ok()),
        commit: parsed.as_ref().map(|name| name.commit.clone()).unwrap_or_default(),
        release_id: parsed.as_ref().map(|name| name.release_id),
        cloud_image_id: parsed.as_ref().map(|name| name.image_id),
        handing_over: parsed.as_ref().is_some_and(|name| name.handing_over),
        image_id: answer.image.clone().unwrap_or_default(),
        created_ms: answer.created.as_deref().and_then(unix_ms).unwrap_or(0),
        started_ms: state.started_at.as_deref().and_then(unix_ms),
        finished_ms: state.finished_at.as_deref().and_then(unix_ms),
        state: state_in(&state),
        exit_code: state.exit_code.unwrap_or(0),
        error: state.error.clone().unwrap_or_default(),
        health: health_in(&state),
        restart_count: answer.restart_count.unwrap_or(0),
        spec: Arc::new(spec_in(&id, name, &answer, &config, scope)),
        image_config: None,
        id,
    })
}

fn app_id(labels: &HashMap<String, String>) -> Result<u64, String> {
    let text = label(labels, "app-id").ok_or("it has no label io.balena.app-id")?;
    text.parse().map_err(|_| format!("its label io.balena.app-id is \"{text}\", not a number"))
}

fn spec_in(
    id: &str,
    name: String,
    answer: &ContainerInspectResponse,
    config: &models::ContainerConfig,
    scope: &Scope,
) -> ContainerSpec {
    let host = answer.host_config.clone().unwrap_or_default();
    let network_mode = network_mode_in(host.network_mode.as_deref().unwrap_or_default());
    let networks = answer.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut options = options_in(config, &host);
    if matches!(network_mode, NetworkMode::Container(_)) {
        // Taken over from the other container when it starts.
        options.domainname.clear();
    }
    ContainerSpec {
        name,
        image: answer.image.clone().unwrap_or_default(),
        environment: environment_in(config.env.as_ref()),
        labels: scope.unmark(config.labels.as_ref().unwrap_or(&HashMap::new())),
        hostname: hostname_in(id, config.hostname.as_deref(), &network_mode),
        networks: endpoints_in(id, networks),
        ports: bindings_in(host.port_bindings.as_ref()),
        exposed: exposed_in(config.exposed_ports.as_ref()),
        binds: binds_in(host.binds.as_ref()),
        mounts: mounts_in(host.mounts.as_ref()),
        anonymous_volumes: config.volumes.iter().flatten().cloned().collect(),
        network_mode,
        options,
    }
}

/// `KEY=value` lines as a map.
pub(super) fn environment_in(lines: Option<&Vec<String>>) -> BTreeMap<String, String> {
    let split = |line: &String| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    lines.into_iter().flatten().map(split).collect()
}

/// The host name somebody asked for. The engine makes one up from the id; a container that shares another's network
/// cannot have one and shows the other's.
fn hostname_in(id: &str, hostname: Option<&str>, mode: &NetworkMode) -> Option<String> {
    let name = hostname.filter(|name| !name.is_empty() && !is_id_of(name, id))?;
    (!matches!(mode, NetworkMode::Container(_))).then(|| name.to_owned())
}

fn state_in(state: &models::ContainerState) -> ContainerState {
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerState::Created,
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => ContainerState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited,
        Some(ContainerStateStatusEnum::DEAD) => ContainerState::Dead,
        Some(ContainerStateStatusEnum::EMPTY) | None if state.running == Some(true) => ContainerState::Running,
        Some(ContainerStateStatusEnum::EMPTY) | None => ContainerState::Exited,
    }
}

fn health_in(state: &models::ContainerState) -> Option<Health> {
    match state.health.as_ref()?.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// An answer as Docker 20.10 gives it, shortened.
    fn answer(change: impl FnOnce(&mut serde_json::Value)) -> ContainerInspectResponse {
        let mut json = serde_json::json!({
            "Id": ID, "Created": "2026-11-21T07:54:00.123456789Z", "Name": "/main_3_2_abc", "Image": "sha256:aa",
            "RestartCount": 4,
            "State": { "Status": "exited", "ExitCode": 137, "Error": "", "StartedAt": "2026-11-21T07:54:01Z",
                       "FinishedAt": "0001-01-01T00:00:00Z", "Health": { "Status": "unhealthy" } },
            "Config": { "Hostname": &ID[..12], "Env": ["A=b=c", "EMPTY="], "Tty": true, "StopTimeout": 3,
                        "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/v": {} },
                        "Labels": { "io.balena.supervised": "true", "io.balena.app-id": "7", "io.balena.app-uuid": "u",
                                    "io.balena.service-name": "main", "io.balena.service-id": "9" } },
            "HostConfig": { "NetworkMode": "u_default", "Binds": ["7_d:/d"],
                            "RestartPolicy": { "Name": "always", "MaximumRetryCount": 0 } },
            "NetworkSettings": { "Networks": { "u_default": { "Aliases": ["main", &ID[..12]], "IPAddress": "10.1.0.2" } } }
        });
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_container_is_read_back() {
        let container = container_in(answer(|_| {}), &Scope::default()).unwrap();
        assert_eq!((container.app_id, container.app_uuid.as_deref(), container.service.as_str()), (7, Some("u"), "main"));
        assert_eq!((container.service_id, container.release_id, container.cloud_image_id), (Some(9), Some(2), Some(3)));
        assert_eq!((container.commit.as_str(), container.handing_over), ("abc", false));
        assert_eq!((container.created_ms, container.finished_ms), (1_795_247_640_123, None));
        assert_eq!((container.state, container.exit_code), (ContainerState::Exited, 137));
        assert_eq!((container.health, container.restart_count), (Some(Health::Unhealthy), 4));
        let spec = container.spec;
        assert_eq!((spec.name.as_str(), &spec.hostname), ("main_3_2_abc", &None));
        assert_eq!(spec.environment.get("A").map(String::as_str), Some("b=c"));
        assert_eq!(spec.networks["u_default"].aliases, ["main".to_owned()].into());
        assert_eq!((spec.options.stop_grace_period_s, spec.options.tty), (3, true));
    }

    #[test]
    fn a_name_that_does_not_parse_is_no_obstacle() {
        let container = container_in(answer(|json| json["Name"] = "/quirky_name".into()), &Scope::default()).unwrap();
        assert_eq!((container.service.as_str(), container.release_id, container.commit.as_str()), ("main", None, ""));
    }

    #[test]
    fn a_container_without_an_app_says_so() {
        let strange = answer(|json| json["Config"]["Labels"]["io.balena.app-id"] = "seven".into());
        assert!(container_in(strange, &Scope::default()).unwrap_err().contains("seven"));
    }

    #[test]
    fn a_shared_network_hides_the_host_name() {
        let shared = answer(|json| {
            json["HostConfig"]["NetworkMode"] = "container:ffff".into();
            json["Config"]["Hostname"] = "ffffffffffff".into();
        });
        assert_eq!(container_in(shared, &Scope::default()).unwrap().spec.hostname, None);
        let named = answer(|json| json["Config"]["Hostname"] = "gate".into());
        assert_eq!(container_in(named, &Scope::default()).unwrap().spec.hostname.as_deref(), Some("gate"));
    }
}
