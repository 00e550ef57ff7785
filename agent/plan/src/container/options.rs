//! Settings of a container that mean the same in a composition and in the engine (behaviour §4.1).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// When the engine itself starts a container again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never: a one-shot service.
    No,
    /// Always, and again when the engine starts.
    #[default]
    Always,
    /// After a failure.
    OnFailure,
    /// Always, unless somebody stopped it.
    UnlessStopped,
}

/// A device of the host given to a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// Cgroup permissions, some of `rwm`.
    pub permissions: String,
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// A health check. Every part that is `None` is the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    pub test: Option<Vec<String>>,
    /// Time between checks, nanoseconds.
    pub interval_ns: Option<i64>,
    /// Time limit of one check, nanoseconds.
    pub timeout_ns: Option<i64>,
    /// Grace at start, nanoseconds.
    pub start_period_ns: Option<i64>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<i64>,
}

/// A log driver and its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Driver, for example `json-file`.
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

/// The settings themselves. `None` means the image's (or the engine's) own; 0 and empty mean the engine's default.
/// Sets are compared without regard to order, lists with it (behaviour §4.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the compose field of the same name, behaviour §4.1; units are in the names")]
pub struct Options {
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
    /// Default 10 s, as behaviour §4.1.
    pub stop_grace_period_s: i64,
    pub healthcheck: Option<Healthcheck>,
    pub restart: RestartPolicy,
    pub tty: bool,
    pub stdin_open: bool,
    pub init: Option<bool>,
    pub privileged: bool,
    pub read_only: bool,
    pub cap_add: BTreeSet<String>,
    pub cap_drop: BTreeSet<String>,
    pub security_opt: BTreeSet<String>,
    pub group_add: BTreeSet<String>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_opt: BTreeSet<String>,
    pub extra_hosts: BTreeSet<String>,
    pub devices: BTreeSet<Device>,
    pub device_cgroup_rules: BTreeSet<String>,
    /// Path in the container → mount options (usually empty).
    pub tmpfs: BTreeMap<String, String>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    pub domainname: String,
    /// Default `shareable`, as behaviour §4.1.
    pub ipc: String,
    pub pid: String,
    pub userns_mode: String,
    pub cgroup_parent: String,
    pub runtime: Option<String>,
    pub logging: Option<Logging>,
    pub mem_limit_bytes: i64,
    pub mem_reservation_bytes: i64,
    pub memswap_limit_bytes: i64,
    pub mem_swappiness: Option<i64>,
    /// Default 64 MiB.
    pub shm_size_bytes: i64,
    /// Billionths of a CPU; never compared (behaviour §4.1).
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub cpu_quota_us: i64,
    pub cpu_period_us: i64,
    pub cpuset: String,
    pub oom_score_adj: i64,
    pub oom_kill_disable: bool,
    pub pids_limit: i64,
    /// Number of GPUs asked for through the feature label `io.balena.features.gpu`.
    pub gpus: i64,
}

/// What a container gets in shared memory when nothing is said.
pub const DEFAULT_SHM_SIZE_BYTES: i64 = 64 * 1024 * 1024;

/// How long a container has to stop when nothing is said.
pub const DEFAULT_STOP_GRACE_PERIOD_S: i64 = 10;

impl Default for Options {
    fn default() -> Self {
        Options {
            command: None,
            entrypoint: None,
            user: None,
            working_dir: None,
            stop_signal: None,
            stop_grace_period_s: DEFAULT_STOP_GRACE_PERIOD_S,
            healthcheck: None,
            restart: RestartPolicy::Always,
            tty: true,
            stdin_open: false,
            init: None,
            privileged: false,
            read_only: false,
            cap_add: BTreeSet::new(),
            cap_drop: BTreeSet::new(),
            security_opt: BTreeSet::new(),
            group_add: BTreeSet::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: BTreeSet::new(),
            extra_hosts: BTreeSet::new(),
            devices: BTreeSet::new(),
            device_cgroup_rules: BTreeSet::new(),
            tmpfs: BTreeMap::new(),
            ulimits: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            domainname: String::new(),
            ipc: "shareable".into(),
            pid: String::new(),
            userns_mode: String::new(),
            cgroup_parent: String::new(),
            runtime: None,
            logging: None,
            mem_limit_bytes: 0,
            mem_reservation_bytes: 0,
            memswap_limit_bytes: 0,
            mem_swappiness: None,
            shm_size_bytes: DEFAULT_SHM_SIZE_BYTES,
            nano_cpus: 0,
            cpu_shares: 0,
            cpu_quota_us: 0,
            cpu_period_us: 0,
            cpuset: String::new(),
            oom_score_adj: 0,
            oom_kill_disable: false,
            pids_limit: 0,
            gpus: 0,
        }
    }
}
