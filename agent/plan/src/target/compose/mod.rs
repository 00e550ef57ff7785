//! Compose fields of a service, network or volume, one subject a file (behaviour §4.1, §4.2, §4.3, §5).
//!
//! What a mistake leads to:
//!
//! - It **refuses the app** (an offence with its path) where the app could not work as asked or would get more rights than
//!   asked: what runs (`command`, `entrypoint`, `environment`, `labels`, `healthcheck.test`, `working_dir`), how it is
//!   reached (`ports`, `expose`, `networks`, `network_mode`, addresses and pools), its data and hardware (`volumes`,
//!   `tmpfs`, `devices`), its order (`depends_on`), and its rights (`user`, `privileged`, `read_only`, `cap_add`,
//!   `cap_drop`, `security_opt`, `group_add`, `device_cgroup_rules`, `userns_mode`, `ipc`, `pid`).
//! - It **is named** (in `unsupported`, with its path) and the default is used everywhere else: sizes, limits, durations,
//!   restart policy, name resolution, log driver, kernel parameters.
//! - A field the agent does not carry out is named with the reason; nothing is dropped in silence.

pub mod commands;
pub mod definitions;
pub mod depends_on;
pub mod devices;
pub mod durations;
pub mod environment;
pub mod healthcheck;
pub mod hosts;
pub mod ipam;
pub mod labels;
pub mod logging;
pub mod mounts;
pub mod networks;
pub mod options;
pub mod ports;
pub mod resources;
pub mod restart;
pub mod sizes;
pub mod ulimits;
pub mod unsupported;
