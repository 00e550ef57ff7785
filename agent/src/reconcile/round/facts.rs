//! What planning is told about the device.

use holdfast_plan::facts::Facts;

use super::Reconciler;

impl Reconciler {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            uuid: self.tools.uuid.clone(),
            device_name: self.target.as_ref().map(|t| t.target.name.clone()),
            device_type: self.device.device_type.clone(),
            device_arch: self.device.device_arch.clone(),
            os_version: self.device.os_version.clone(),
            os_slug: self.device.os_slug.clone(),
            os_semver: self.device.os_semver.clone(),
            kernel_version: self.device.kernel_version.clone(),
            l4t_version: self.device.l4t_version.clone(),
            board_rev: self.device.board_rev.clone(),
            hostname: self.device.hostname.clone(),
            api_endpoint: self.tools.api_endpoint.clone(),
            device_api_key: self.tools.device_api_key.clone(),
            api_port: self.tools.api_port,
            service_keys: self.keyring.of_services(),
            lock_root: self.tools.lock_root.clone(),
            engine_socket: self.engine.as_ref().and_then(|e| e.address.strip_prefix("unix://")).map(str::to_owned),
            host_paths: self.device.host_paths.clone(),
            boot_time_ms: self.device.boot_time_ms,
        }
    }
}
