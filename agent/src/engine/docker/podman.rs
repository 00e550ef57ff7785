//! What Podman's service adds to its description of a container by itself, taken out again: else every container would
//! look changed and be replaced at each look. Written against 4.3; Docker's answers pass through untouched.
//!
//! Not to be told apart in its answers, so not supported there: limits on open files and processes (it sets both on every
//! container), and which of several networks is the main one (the first by name is taken).

use bollard::models::{ContainerConfig, ContainerInspectResponse, HostConfig};

/// The limit on processes that it sets when none is asked for.
const DEFAULT_PIDS: i64 = 2048;

/// Its default network.
const DEFAULT_NETWORK: &str = "podman";

/// Signals it turns into numbers.
const SIGNALS: [(&str, &str); 9] = [
    ("1", "SIGHUP"),
    ("2", "SIGINT"),
    ("3", "SIGQUIT"),
    ("6", "SIGABRT"),
    ("9", "SIGKILL"),
    ("10", "SIGUSR1"),
    ("12", "SIGUSR2"),
    ("15", "SIGTERM"),
    ("37", "SIGRTMIN+3"),
];

/// Turns Podman's description of a container into the one Docker would give.
pub(super) fn as_docker(mut answer: ContainerInspectResponse) -> ContainerInspectResponse {
    if !is_podmans(&answer) {
        return answer;
    }
    if let (Some(config), Some(host)) = (answer.config.as_mut(), answer.host_config.as_mut()) {
        plain_config(config);
        plain_host(host);
        anonymous_volumes(config, host);
        if let Some(networks) = answer.network_settings.as_mut().and_then(|settings| settings.networks.as_mut()) {
            networks.remove(DEFAULT_NETWORK);
            let main = networks.keys().filter(|name| !matches!(name.as_str(), "bridge" | "host" | "none")).min().cloned();
            if let (Some("bridge"), Some(main)) = (host.network_mode.as_deref(), main) {
                host.network_mode = Some(main);
            }
        }
    }
    answer
}

/// Every container of Podman's, and none of Docker's, has this runtime and this variable.
fn is_podmans(answer: &ContainerInspectResponse) -> bool {
    let runtime = answer.host_config.as_ref().and_then(|host| host.runtime.as_deref());
    let mut variables = answer.config.iter().flat_map(|config| config.env.iter().flatten());
    runtime == Some("oci") && variables.any(|line| line == "container=podman")
}

fn plain_config(config: &mut ContainerConfig) {
    let own_name = format!("HOSTNAME={}", config.hostname.as_deref().unwrap_or_default());
    let added = |line: &String| line == "container=podman" || line == "TERM=xterm" || *line == own_name;
    config.env.iter_mut().for_each(|lines| lines.retain(|line| !added(line)));
    let name = |number: &str| SIGNALS.iter().find(|(known, _)| *known == number).map(|(_, name)| (*name).to_owned());
    if let Some(signal) = config.stop_signal.as_deref().and_then(name) {
        config.stop_signal = Some(signal);
    }
}

fn plain_host(host: &mut HostConfig) {
    host.runtime = None;
    host.memory_swappiness = host.memory_swappiness.filter(|percent| *percent != 0);
    host.pids_limit = host.pids_limit.filter(|limit| *limit != DEFAULT_PIDS);
    host.pid_mode = host.pid_mode.take().filter(|mode| mode != "private");
    for limit in host.ulimits.iter_mut().flatten() {
        limit.name = limit.name.take().map(|name| name.trim_start_matches("RLIMIT_").to_ascii_lowercase());
    }
    host.ulimits.iter_mut().for_each(|limits| {
        limits.retain(|limit| !matches!(limit.name.as_deref(), Some("nofile" | "nproc")));
    });
}

/// Anonymous volumes show as binds of volumes that have an id for a name.
fn anonymous_volumes(config: &mut ContainerConfig, host: &mut HostConfig) {
    let Some(binds) = host.binds.take() else { return };
    let is_id = |source: &str| source.len() == 64 && source.bytes().all(|b| b.is_ascii_hexdigit());
    let (anonymous, named): (Vec<String>, Vec<String>) =
        binds.into_iter().partition(|bind| bind.split_once(':').is_some_and(|(source, _)| is_id(source)));
    let paths = anonymous.iter().filter_map(|bind| bind.split(':').nth(1)).map(str::to_owned);
    config.volumes.get_or_insert_default().extend(paths);
    host.binds = Some(named);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(runtime: &str) -> ContainerInspectResponse {
        let id = "be37a8132e41b12de0c252b77094604cb5aaab0a98aad713c9d95cfab6cbc493";
        serde_json::from_value(serde_json::json!({
            "Config": { "Env": ["PATH=/bin", "TERM=xterm", "container=podman"], "StopSignal": "15" },
            "HostConfig": {
                "Runtime": runtime, "NetworkMode": "bridge", "PidMode": "private", "PidsLimit": 2048, "MemorySwappiness": 0,
                "Binds": [format!("{id}:/v:rw,rprivate,nosuid,nodev,rbind"), "5_d:/d:rw,rprivate,nosuid,nodev,rbind"],
                "Ulimits": [{ "Name": "RLIMIT_NOFILE", "Soft": 9, "Hard": 9 }, { "Name": "RLIMIT_CORE", "Soft": 1, "Hard": 1 }]
            },
            "NetworkSettings": { "Networks": { "u_b": {}, "u_a": {} } }
        }))
        .unwrap()
    }

    #[test]
    fn podmans_additions_are_taken_out() {
        let plain = as_docker(answer("oci"));
        let (config, host) = (plain.config.unwrap(), plain.host_config.unwrap());
        assert_eq!((config.env.unwrap(), config.volumes.unwrap()), (vec!["PATH=/bin".to_owned()], vec!["/v".to_owned()]));
        assert_eq!((config.stop_signal.as_deref(), host.network_mode.as_deref()), (Some("SIGTERM"), Some("u_a")));
        assert_eq!((host.pids_limit, host.memory_swappiness, host.pid_mode, host.runtime), (None, None, None, None));
        assert_eq!(host.binds.unwrap().len(), 1);
        assert_eq!(host.ulimits.unwrap().into_iter().filter_map(|limit| limit.name).collect::<Vec<_>>(), ["core"]);
    }

    #[test]
    fn dockers_answers_pass_through() {
        assert_eq!(as_docker(answer("runc")), answer("runc"));
    }
}
