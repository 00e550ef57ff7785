//! Settings of a present container, read back from the engine (behaviour §4.5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerConfig, HealthConfig, HostConfig, RestartPolicyNameEnum};
use holdfast_plan::container::{Device, Healthcheck, Logging, Options, RestartPolicy, Ulimit};

/// The settings of a container from both halves of the engine's answer.
pub(super) fn options_in(config: &ContainerConfig, host: &HostConfig) -> Options {
    Options {
        command: config.cmd.clone(),
        entrypoint: config.entrypoint.clone(),
        user: given(config.user.as_ref()),
        working_dir: given(config.working_dir.as_ref()),
        stop_signal: given(config.stop_signal.as_ref()),
        stop_grace_period_s: config.stop_timeout.unwrap_or(Options::default().stop_grace_period_s),
        healthcheck: config.healthcheck.as_ref().and_then(healthcheck_in),
        tty: config.tty.unwrap_or(false),
        stdin_open: config.open_stdin.unwrap_or(false),
        domainname: config.domainname.clone().unwrap_or_default(),
        restart: restart_in(host.restart_policy.as_ref().and_then(|policy| policy.name)),
        init: host.init,
        privileged: host.privileged.unwrap_or(false),
        read_only: host.readonly_rootfs.unwrap_or(false),
        cap_add: set(&host.cap_add),
        cap_drop: set(&host.cap_drop),
        security_opt: security_in(host),
        group_add: set(&host.group_add),
        dns: host.dns.clone().unwrap_or_default(),
        dns_search: host.dns_search.clone().unwrap_or_default(),
        dns_opt: set(&host.dns_options),
        extra_hosts: set(&host.extra_hosts),
        tmpfs: map(&host.tmpfs),
        sysctls: map(&host.sysctls),
        ipc: host.ipc_mode.clone().unwrap_or_default(),
        pid: host.pid_mode.clone().unwrap_or_default(),
        userns_mode: host.userns_mode.clone().unwrap_or_default(),
        runtime: given(host.runtime.as_ref()),
        logging: logging_in(host),
        ..resources_in(host)
    }
}

/// Limits and devices. The engine says nothing, 0 or -1 where no limit is set.
fn resources_in(host: &HostConfig) -> Options {
    Options {
        devices: devices_in(host),
        device_cgroup_rules: set(&host.device_cgroup_rules),
        ulimits: ulimits_in(host),
        cgroup_parent: host.cgroup_parent.clone().unwrap_or_default(),
        mem_limit_bytes: host.memory.unwrap_or(0),
        mem_reservation_bytes: host.memory_reservation.unwrap_or(0),
        memswap_limit_bytes: host.memory_swap.unwrap_or(0),
        mem_swappiness: host.memory_swappiness.filter(|percent| *percent >= 0),
        shm_size_bytes: host.shm_size.unwrap_or(0),
        nano_cpus: host.nano_cpus.unwrap_or(0),
        cpu_shares: host.cpu_shares.unwrap_or(0),
        cpu_quota_us: host.cpu_quota.unwrap_or(0),
        cpu_period_us: host.cpu_period.unwrap_or(0),
        cpuset: host.cpuset_cpus.clone().unwrap_or_default(),
        oom_score_adj: host.oom_score_adj.unwrap_or(0),
        oom_kill_disable: host.oom_kill_disable.unwrap_or(false),
        pids_limit: host.pids_limit.unwrap_or(0).max(0),
        gpus: gpus_in(host),
        ..Options::default()
    }
}

fn restart_in(name: Option<RestartPolicyNameEnum>) -> RestartPolicy {
    match name {
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::ON_FAILURE) => RestartPolicy::OnFailure,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY) | None => RestartPolicy::No,
    }
}

/// A health check; `None` where the engine holds an empty one. It says 0 for parts that are not set.
pub(super) fn healthcheck_in(check: &HealthConfig) -> Option<Healthcheck> {
    let some = |value: Option<i64>| value.filter(|number| *number != 0);
    let check = Healthcheck {
        test: check.test.clone().filter(|words| !words.is_empty()),
        interval_ns: some(check.interval),
        timeout_ns: some(check.timeout),
        start_period_ns: some(check.start_period),
        retries: some(check.retries),
    };
    (check != Healthcheck::default()).then_some(check)
}

/// Options without the labels that the engine itself adds to privileged and host-sharing containers.
fn security_in(host: &HostConfig) -> BTreeSet<String> {
    let is_label = |text: &str| text.starts_with("label=") || text.starts_with("label:");
    set(&host.security_opt).into_iter().filter(|text| !is_label(text)).collect()
}

fn logging_in(host: &HostConfig) -> Option<Logging> {
    let config = host.log_config.as_ref()?;
    Some(Logging { driver: given(config.typ.as_ref())?, options: map(&config.config) })
}

fn devices_in(host: &HostConfig) -> BTreeSet<Device> {
    let devices = host.devices.iter().flatten().map(|device| Device {
        host: device.path_on_host.clone().unwrap_or_default(),
        container: device.path_in_container.clone().unwrap_or_default(),
        permissions: device.cgroup_permissions.clone().unwrap_or_default(),
    });
    devices.collect()
}

fn ulimits_in(host: &HostConfig) -> BTreeMap<String, Ulimit> {
    let limits =
        host.ulimits.iter().flatten().filter_map(|limit| {
            Some((limit.name.clone()?, Ulimit { soft: limit.soft.unwrap_or(0), hard: limit.hard.unwrap_or(0) }))
        });
    limits.collect()
}

fn gpus_in(host: &HostConfig) -> i64 {
    let wants_gpu = |capabilities: &Vec<Vec<String>>| capabilities.iter().flatten().any(|word| word == "gpu");
    let requests = host.device_requests.iter().flatten().filter(|request| request.capabilities.as_ref().is_some_and(wants_gpu));
    requests.map(|request| request.count.unwrap_or(0)).sum()
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn set(values: &Option<Vec<String>>) -> BTreeSet<String> {
    values.iter().flatten().cloned().collect()
}

fn map(values: &Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    values.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::options_out::{healthcheck_out, host_config_out};
    use super::*;

    fn words(text: &str) -> BTreeSet<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn pairs(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    /// Everything the host half of the request carries, each with a value of its own.
    fn everything() -> Options {
        Options {
            restart: RestartPolicy::UnlessStopped,
            tty: false,
            init: Some(true),
            privileged: true,
            read_only: true,
            cap_add: words("NET_ADMIN SYS_TIME"),
            cap_drop: words("CHOWN"),
            security_opt: words("no-new-privileges"),
            group_add: words("audio"),
            dns: vec!["9.9.9.9".into(), "1.1.1.1".into()],
            dns_search: vec!["example.com".into()],
            dns_opt: words("ndots:1"),
            extra_hosts: words("a:10.0.0.1"),
            devices: [Device { host: "/dev/a".into(), container: "/dev/b".into(), permissions: "rw".into() }].into(),
            device_cgroup_rules: ["c 42:* rmw".to_owned()].into(),
            tmpfs: pairs("/t", "size=1m"),
            ulimits: BTreeMap::from([("nofile".to_owned(), Ulimit { soft: 1, hard: 2 })]),
            sysctls: pairs("net.core.somaxconn", "9"),
            ipc: "host".into(),
            pid: "host".into(),
            userns_mode: "host".into(),
            cgroup_parent: "/p".into(),
            runtime: Some("crun".into()),
            logging: Some(Logging { driver: "local".into(), options: pairs("max-size", "1m") }),
            mem_limit_bytes: 1,
            mem_reservation_bytes: 2,
            memswap_limit_bytes: 3,
            mem_swappiness: Some(0),
            shm_size_bytes: 4,
            nano_cpus: 5,
            cpu_shares: 6,
            cpu_quota_us: 7,
            cpu_period_us: 8,
            cpuset: "0-1".into(),
            oom_score_adj: -9,
            oom_kill_disable: true,
            pids_limit: 10,
            gpus: 1,
            ..Options::default()
        }
    }

    #[test]
    fn the_host_half_comes_back_as_it_went() {
        let wanted = everything();
        assert_eq!(options_in(&ContainerConfig::default(), &host_config_out(&wanted)), wanted);
    }

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let nothing = Options { ipc: String::new(), shm_size_bytes: 0, ..Options::default() };
        let sent = host_config_out(&nothing);
        let only = HostConfig { restart_policy: sent.restart_policy.clone(), ..HostConfig::default() };
        assert_eq!(sent, only);
    }

    #[test]
    fn the_engines_own_additions_do_not_count() {
        let host = HostConfig {
            security_opt: Some(vec!["label=disable".into(), "seccomp=unconfined".into()]),
            pids_limit: Some(-1),
            memory_swappiness: Some(-1),
            ..HostConfig::default()
        };
        let options = options_in(&ContainerConfig::default(), &host);
        assert_eq!(options.security_opt, words("seccomp=unconfined"));
        assert_eq!((options.pids_limit, options.mem_swappiness), (0, None));
    }

    #[test]
    fn health_checks_come_back_as_they_went() {
        let check = Healthcheck { test: Some(vec!["CMD".into(), "true".into()]), retries: Some(2), ..Healthcheck::default() };
        assert_eq!(healthcheck_in(&healthcheck_out(&check)), Some(check));
        assert_eq!(healthcheck_in(&HealthConfig { interval: Some(0), ..HealthConfig::default() }), None);
    }
}
