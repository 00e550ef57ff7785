//! Facts about the device that containers and contracts depend on. Gathered before planning, never during it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::target::AppId;

/// What is known about the device.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Device uuid.
    pub uuid: String,
    /// The device's name, given to containers when they are created.
    pub device_name: Option<String>,
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

/// Everything but the keys: a log may be read by anybody.
impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Field by field, so that a new one is thought about before it is shown.
        let Facts {
            uuid,
            device_name,
            device_type,
            device_arch,
            os_version,
            os_slug,
            os_semver,
            kernel_version,
            l4t_version,
            board_rev,
            hostname,
            api_endpoint,
            device_api_key,
            api_port,
            service_keys,
            lock_root,
            engine_socket,
            host_paths,
            boot_time_ms,
        } = self;
        f.debug_struct("Facts")
            .field("uuid", uuid)
            .field("device_name", device_name)
            .field("device_type", device_type)
            .field("device_arch", device_arch)
            .field("os_version", os_version)
            .field("os_slug", os_slug)
            .field("os_semver", os_semver)
            .field("kernel_version", kernel_version)
            .field("l4t_version", l4t_version)
            .field("board_rev", board_rev)
            .field("hostname", hostname)
            .field("api_endpoint", api_endpoint)
            .field("device_api_key", &device_api_key.as_ref().map(|_| "not shown"))
            .field("api_port", api_port)
            .field("service_keys", &format_args!("of {:?}, not shown", service_keys.keys().collect::<Vec<_>>()))
            .field("lock_root", lock_root)
            .field("engine_socket", engine_socket)
            .field("host_paths", host_paths)
            .field("boot_time_ms", boot_time_ms)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let facts = Facts {
            uuid: "dev".into(),
            device_api_key: Some("hunter2".into()),
            service_keys: BTreeMap::from([((5, "main".to_owned()), "hunter3".to_owned())]),
            ..Facts::default()
        };
        let text = format!("{facts:?} {facts:#?}");
        assert!(!text.contains("hunter") && text.contains("main") && text.contains("dev"), "{text}");
    }
}
