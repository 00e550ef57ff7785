//! The machine the agent runs on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_plan::boot::Changes;
use holdfast_plan::current::{HostState, Locks};
use holdfast_plan::host_config::{HostConfig, HostConfigPatch};
use holdfast_plan::memory::PowerChange;
use holdfast_plan::target::AppId;
use rustix::fs::OFlags;

use super::control::{Control, ControlSettings};
use super::file::{first_line, open_in, read_in};
use super::info::{Metrics, Sampler};
use super::light::Light;
use super::usage::{Counters, Usage, Watched};
use super::{Addresses, BrokenLock, DeviceInfo, DiskSpace, Host, HostError, JournalText, LockChanges, Vpn};
use super::{address, device_type, disk, interface, os_release};
use crate::lock::{LockError, LockRoot};

/// Folders of the host that containers may ask for (protocol §18.3).
const OPTIONAL_PATHS: [&str; 2] = ["/lib/modules", "/lib/firmware"];

/// `/proc` and `/sys` are always the machine's own, wherever the host's root is.
const MACHINE: &str = "/";

/// Is there while the VPN has a connection (protocol §14).
const VPN_CONNECTED: &str = "/run/openvpn/vpn_status/active";

/// The host below a root folder.
///
/// Its calls touch a few small files, most of them in memory, and return at once; they are made where they stand.
#[derive(Debug)]
pub struct SystemHost {
    root: PathBuf,
    config_device_type: Option<String>,
    locks: Arc<LockRoot>,
    sampler: Mutex<Sampler>,
    counters: Mutex<Counters>,
    control: Option<Control>,
    light: Light,
}

impl SystemHost {
    /// The host whose root is at `host_root`. `lock_dir` is the lock root as the host names it; `config_device_type` is
    /// config.json's, which counts when the boot partition does not say.
    pub fn new(host_root: PathBuf, lock_dir: PathBuf, config_device_type: Option<String>) -> Self {
        let locks = Arc::new(LockRoot::new(below(&host_root, &lock_dir)));
        let sampler = Mutex::new(Sampler::new(Path::new(MACHINE)));
        let counters = Mutex::new(Counters::new(&host_root));
        let light = Light::of(&host_root);
        Self { root: host_root, config_device_type, locks, sampler, counters, control: None, light }
    }

    /// The same host, under the agent's control.
    #[must_use]
    pub fn controlled(self, settings: ControlSettings) -> Self {
        Self { control: Some(Control::new(&self.root, settings)), ..self }
    }

    fn control(&self) -> Result<&Control, HostError> {
        self.control.as_ref().ok_or(HostError::NotControlled)
    }

    fn device_type(&self) -> Option<String> {
        device_type::read(&self.root).slug.or_else(|| self.config_device_type.clone())
    }

    fn boot_time_ms() -> Option<i64> {
        read_in(Path::new(MACHINE), "proc/stat").and_then(|text| boot_time_ms(&text))
    }

    fn hostname(&self) -> Option<String> {
        // The kernel's word is the host's only where the agent lives in it; in a container it is the container's.
        let own = || (self.root == Path::new(MACHINE)).then(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
        first_line(&self.root, "etc/hostname").or_else(own).filter(|name| !name.is_empty())
    }

    fn describe(&self) -> DeviceInfo {
        let os = os_release::read(&self.root);
        let device = device_type::read(&self.root);
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let exists = |path: &&str| open_in(&self.root, Path::new(path), OFlags::PATH).is_ok();
        DeviceInfo {
            os_version: os.pretty_name,
            os_variant: os.variant_id,
            os_slug: os.id,
            os_semver: os.version,
            l4t_version: l4t_version(&kernel),
            kernel_version: Some(kernel),
            board_rev: os.board_rev,
            device_type: device.slug.or_else(|| self.config_device_type.clone()),
            device_arch: Some(device.arch.unwrap_or_else(device_type::machine_arch)),
            hostname: self.hostname(),
            ip_address: address::addresses(Path::new(MACHINE)),
            mac_address: interface::mac_addresses(Path::new(MACHINE)),
            host_paths: OPTIONAL_PATHS.iter().filter(|path| exists(path)).map(|path| (*path).to_owned()).collect(),
            boot_time_ms: Self::boot_time_ms(),
        }
    }
}

#[async_trait::async_trait]
impl Host for SystemHost {
    async fn locks(&self) -> Result<Locks, HostError> {
        Ok(self.locks.observe()?)
    }

    async fn journal(&self, arguments: Vec<String>) -> Result<JournalText, HostError> {
        JournalText::open(&self.root, &arguments).await
    }

    async fn take_locks(&self, app: AppId, services: &BTreeSet<String>, force: bool) -> Result<Vec<BrokenLock>, HostError> {
        let broken = self.locks.take(app, services, force)?;
        Ok(broken.into_iter().map(|broken| BrokenLock { service: broken.service, file: broken.file }).collect())
    }

    async fn release_locks(&self, app: AppId, services: &BTreeSet<String>) -> Result<(), HostError> {
        Ok(self.locks.release(app, services)?)
    }

    async fn clear_marker(&self, app: AppId, service: &str) -> Result<(), HostError> {
        Ok(self.locks.clear_marker(app, service)?)
    }

    fn lock_changes(&self) -> LockChanges {
        self.locks.changes()
    }

    async fn device_info(&self) -> DeviceInfo {
        self.describe()
    }

    async fn addresses(&self) -> Addresses {
        let machine = Path::new(MACHINE);
        Addresses { ip: address::addresses(machine), mac: interface::mac_addresses(machine) }
    }

    async fn metrics(&self) -> Metrics {
        // A look that broke off left nothing half done.
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner).look()
    }

    async fn usage(&self, containers: &[Watched]) -> Usage {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).look(containers)
    }

    async fn disk_space(&self, path: &Path) -> Result<DiskSpace, HostError> {
        disk::space(&self.root, path)
    }

    async fn state(&self) -> HostState {
        let observe = |control: &Control| control.observe(self.device_type(), Self::boot_time_ms());
        self.control.as_ref().map(observe).unwrap_or_default()
    }

    async fn write_boot_config(&self, back_end: &str, changes: &Changes, why: &str) -> Result<(), HostError> {
        self.control()?.write_boot_config(back_end, changes, why)
    }

    async fn require_reboot(&self, why: &str) -> Result<(), HostError> {
        self.control()?.require_reboot(why)
    }

    async fn power(&self, change: PowerChange) -> Result<(), HostError> {
        self.control()?.power(change).await
    }

    async fn blink(&self) -> Result<(), HostError> {
        self.light.blink()
    }

    async fn vpn(&self) -> Vpn {
        let enabled = match &self.control {
            Some(control) => control.vpn_enabled().await,
            None => false,
        };
        Vpn { enabled, connected: open_in(&self.root, Path::new(VPN_CONNECTED), OFlags::PATH).is_ok() }
    }

    async fn host_config(&self) -> Result<HostConfig, HostError> {
        self.control()?.host_config(self.hostname())
    }

    async fn set_host_config(&self, patch: &HostConfigPatch) -> Result<(), HostError> {
        self.control()?.set_host_config(patch).await
    }

    async fn settle(&self) -> Option<String> {
        match &self.control {
            Some(control) => control.settle().await,
            None => None,
        }
    }
}

impl From<LockError> for HostError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { app_id, service } => Self::LockHeld { app_id, service },
            LockError::File { path, message } => Self::File { path, message },
        }
    }
}

/// A path of the host as this process sees it.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// NVIDIA's L4T version in a kernel's release such as `4.9.253-l4t-r32.7.1`; two numbers mean a third of 0 (behaviour §9).
fn l4t_version(kernel: &str) -> Option<String> {
    let (_, rest) = kernel.split_once("-l4t-r")?;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let missing = if version.matches('.').count() == 1 { ".0" } else { "" };
    (!version.is_empty()).then(|| format!("{version}{missing}"))
}

/// When the machine started, from `/proc/stat`.
fn boot_time_ms(stat: &str) -> Option<i64> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse::<i64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::super::{BrokenLock, Host, HostError};
    use super::{SystemHost, boot_time_ms};
    use futures_util::StreamExt;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn host(root: &Path) -> SystemHost {
        SystemHost::new(root.to_owned(), "/tmp/balena-supervisor/services".into(), Some("from-config".into()))
    }

    #[tokio::test]
    async fn an_empty_host_is_described_as_far_as_it_goes() {
        let root = tempfile::tempdir().unwrap();
        let info = host(root.path()).device_info().await;
        assert_eq!((info.os_version, info.os_variant, info.board_rev, info.hostname), (None, None, None, None));
        assert_eq!(info.device_type.as_deref(), Some("from-config"));
        assert!(info.device_arch.is_some() && info.host_paths.is_empty());
        assert!(info.boot_time_ms.unwrap() > 0);
    }

    #[tokio::test]
    async fn a_host_is_described() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "mnt/boot", "usr/lib/modules"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("/usr/lib", root.path().join("lib")).unwrap();
        fs::write(root.path().join("etc/os-release"), "PRETTY_NAME=\"balenaOS 6.1.2\"\nVARIANT_ID=prod\n").unwrap();
        fs::write(root.path().join("etc/hostname"), "quiet-river\n").unwrap();
        fs::write(root.path().join("mnt/boot/device-type.json"), r#"{"slug":"raspberrypi3","arch":"armv7hf"}"#).unwrap();
        let info = host(root.path()).device_info().await;
        assert_eq!(info.os_version.as_deref(), Some("balenaOS 6.1.2"));
        assert_eq!(info.os_variant.as_deref(), Some("prod"));
        assert_eq!(info.hostname.as_deref(), Some("quiet-river"));
        assert_eq!(info.device_type.as_deref(), Some("raspberrypi3"));
        assert_eq!(info.device_arch.as_deref(), Some("armv7hf"));
        assert_eq!(info.host_paths, BTreeSet::from(["/lib/modules".to_owned()]));
    }

    #[tokio::test]
    async fn locks_lie_below_the_hosts_root_and_errors_are_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let services = BTreeSet::from(["main".to_owned()]);
        let mut changes = host.lock_changes();
        host.take_locks(7, &services, false).await.unwrap();
        assert!(host.locks().await.unwrap().all_ours(7, ["main"]));
        changes.next().await.unwrap();
        host.release_locks(7, &services).await.unwrap();
        let lock = root.path().join("tmp/balena-supervisor/services/7/main/updates.lock");
        fs::write(lock, "").unwrap();
        let held = HostError::LockHeld { app_id: 7, service: "main".into() };
        assert_eq!(host.take_locks(7, &services, false).await, Err(held));
        let broken = BrokenLock { service: "main".into(), file: "updates.lock".into() };
        assert_eq!(host.take_locks(7, &services, true).await, Ok(vec![broken]));
        assert!(host.disk_space(Path::new("/tmp")).await.unwrap().total_bytes > 0);
    }

    #[test]
    fn the_l4t_version_is_found() {
        let found = |kernel: &str| super::l4t_version(kernel);
        assert_eq!(found("4.9.253-l4t-r32.7.1"), Some("32.7.1".into()));
        assert_eq!(found("4.9.253-l4t-r32.7"), Some("32.7.0".into()));
        assert_eq!(found("6.1.0-21-amd64"), None);
    }

    #[test]
    fn the_boot_time_is_found() {
        assert_eq!(boot_time_ms("cpu 1 2\nbtime 1767225600\nprocesses 7\n"), Some(1_767_225_600_000));
        for text in ["", "btime \n", "btime x\n", "btime 9223372036854775807\n"] {
            assert_eq!(boot_time_ms(text), None, "{text}");
        }
    }
}
