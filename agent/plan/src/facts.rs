//! Facts about the device that containers and contracts depend on. Gathered before planning, never during it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::target::AppId;

/// What is known about the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Device uuid.
    pub uuid: String,
    /// Device type slug, for example `raspberrypi4-64`.
    pub device_type: Option<String>,
    /// Architecture slug, for example `aarch64`.
    pub device_arch: Option<String>,
    /// `PRETTY_NAME` of the host's os-release.
    pub os_version: Option<String>,
    /// `ID` of os-release, for contracts.
    pub os_slug: Option<String>,
    /// `VERSION` of os-release as a version, for contracts.
    pub os_semver: Option<String>,
    /// The kernel's version, for contracts.
    pub kernel_version: Option<String>,
    /// NVIDIA's L4T version, for contracts.
    pub l4t_version: Option<String>,
    /// `BALENA_BOARD_REV` (or `RESIN_BOARD_REV`) and build of os-release (protocol §18.3).
    pub board_rev: Option<String>,
    /// The host's name: the default host name of services with host networking.
    pub hostname: Option<String>,
    /// Cloud address, for `io.balena.features.balena-api`.
    pub api_endpoint: Option<String>,
    /// Device key, for `io.balena.features.balena-api`.
    #[serde(skip)]
    pub device_api_key: Option<String>,
    /// Port of the local API over TCP.
    pub api_port: u16,
    /// Keys of services that carry the supervisor-api label, made and stored before planning.
    #[serde(skip)]
    pub service_keys: BTreeMap<(AppId, String), String>,
    /// Lock root as the engine sees it, `/tmp/balena-supervisor/services`.
    pub lock_root: String,
    /// Path of the engine's socket on the host, for `io.balena.features.balena-socket`.
    pub engine_socket: Option<String>,
    /// Which of the optional host paths exist (`/lib/modules`, `/lib/firmware`).
    pub host_paths: BTreeSet<String>,
    /// When the machine started, ms since 1970 by its own clock.
    pub boot_time_ms: Option<i64>,
}
