//! Settings of a container for the engine. What is not set stays out of the request, so that the image's or the engine's own
//! applies.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    DeviceMapping, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, ResourcesUlimits, RestartPolicyNameEnum,
};
use holdfast_plan::container::{Healthcheck, Logging, Options, RestartPolicy};

/// The part of a container's settings that concerns the host, without mounts, ports and networks.
pub(super) fn host_config_out(options: &Options) -> HostConfig {
    HostConfig {
        restart_policy: Some(restart_out(options.restart)),
        init: options.init,
        privileged: flag(options.privileged),
        readonly_rootfs: flag(options.read_only),
        cap_add: set(&options.cap_add),
        cap_drop: set(&options.cap_drop),
        security_opt: set(&options.security_opt),
        group_add: set(&options.group_add),
        dns: list(&options.dns),
        dns_search: list(&options.dns_search),
        dns_options: set(&options.dns_opt),
        extra_hosts: set(&options.extra_hosts),
        sysctls: map(&options.sysctls),
        tmpfs: map(&options.tmpfs),
        ipc_mode: text(&options.ipc),
        pid_mode: text(&options.pid),
        userns_mode: text(&options.userns_mode),
        runtime: options.runtime.clone(),
        log_config: options.logging.as_ref().map(logging_out),
        ..resources_out(options)
    }
}

/// Limits and devices.
fn resources_out(options: &Options) -> HostConfig {
    HostConfig {
        devices: devices_out(options),
        device_cgroup_rules: set(&options.device_cgroup_rules),
        device_requests: gpus_out(options.gpus),
        ulimits: ulimits_out(options),
        cgroup_parent: text(&options.cgroup_parent),
        memory: number(options.mem_limit_bytes),
        memory_reservation: number(options.mem_reservation_bytes),
        memory_swap: number(options.memswap_limit_bytes),
        memory_swappiness: options.mem_swappiness,
        shm_size: number(options.shm_size_bytes),
        nano_cpus: number(options.nano_cpus),
        cpu_shares: number(options.cpu_shares),
        cpu_quota: number(options.cpu_quota_us),
        cpu_period: number(options.cpu_period_us),
        cpuset_cpus: text(&options.cpuset),
        oom_score_adj: number(options.oom_score_adj),
        oom_kill_disable: flag(options.oom_kill_disable),
        pids_limit: number(options.pids_limit),
        ..HostConfig::default()
    }
}

/// The engine's form of a restart policy; the number of attempts is not limited.
pub(super) fn restart_out(policy: RestartPolicy) -> bollard::models::RestartPolicy {
    let name = match policy {
        RestartPolicy::No => RestartPolicyNameEnum::NO,
        RestartPolicy::Always => RestartPolicyNameEnum::ALWAYS,
        RestartPolicy::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
        RestartPolicy::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
    };
    bollard::models::RestartPolicy { name: Some(name), maximum_retry_count: Some(0) }
}

/// A health check; parts that are not set are the image's.
pub(super) fn healthcheck_out(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: check.test.clone(),
        interval: check.interval_ns,
        timeout: check.timeout_ns,
        retries: check.retries,
        start_period: check.start_period_ns,
        start_interval: None,
    }
}

fn logging_out(logging: &Logging) -> HostConfigLogConfig {
    HostConfigLogConfig { typ: text(&logging.driver), config: map(&logging.options) }
}

fn devices_out(options: &Options) -> Option<Vec<DeviceMapping>> {
    let devices = options.devices.iter().map(|device| DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    });
    Some(devices.collect::<Vec<_>>()).filter(|all| !all.is_empty())
}

fn ulimits_out(options: &Options) -> Option<Vec<ResourcesUlimits>> {
    let limits = options.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    Some(limits.collect::<Vec<_>>()).filter(|all| !all.is_empty())
}

/// The request for GPUs that the feature label stands for (protocol §18.3).
fn gpus_out(count: i64) -> Option<Vec<DeviceRequest>> {
    (count != 0).then(|| {
        vec![DeviceRequest {
            driver: Some(String::new()),
            count: Some(count),
            device_ids: Some(Vec::new()),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            options: Some(HashMap::new()),
        }]
    })
}

fn flag(set: bool) -> Option<bool> {
    set.then_some(true)
}

fn number(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn list(values: &[String]) -> Option<Vec<String>> {
    (!values.is_empty()).then(|| values.to_vec())
}

fn set(values: &BTreeSet<String>) -> Option<Vec<String>> {
    (!values.is_empty()).then(|| values.iter().cloned().collect())
}

fn map(values: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!values.is_empty()).then(|| values.clone().into_iter().collect())
}
