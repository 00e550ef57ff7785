//! The device below the agent: lock files, device information, disk space. The only room besides `settings` and `store`
//! that reads and writes files of the host; how update locks work lies in `lock`.

mod address;
mod boot;
mod bus;
mod control;
mod device_type;
mod disk;
mod file;
mod info;
mod interface;
mod journal;
mod light;
mod netlink;
mod notify;
mod os_release;
mod power;
mod system;
mod unit;
mod usage;

pub use bus::BusError;
pub use control::ControlSettings;
pub(crate) use file::{first_line, read_in};
pub use info::Metrics;
pub(crate) use info::kernel_log;
pub use journal::JournalText;
pub use notify::ServiceManager;
pub use system::SystemHost;
pub use usage::{MachineUsage, Usage, Watched};

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;

use futures_util::Stream;
use holdfast_plan::boot::Changes;
use holdfast_plan::current::{HostState, Locks};
use holdfast_plan::host_config::{HostConfig, HostConfigPatch};
use holdfast_plan::memory::PowerChange;
use holdfast_plan::target::AppId;

/// What can go wrong on the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The application holds a lock. The text is balena's (protocol §17.1).
    #[error("Lockfile exists for {{ appId: {app_id}, service: {service} }}")]
    LockHeld {
        /// App.
        app_id: AppId,
        /// Service whose lock is held.
        service: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {message}")]
    File {
        /// Which file.
        path: String,
        /// What was tried and what happened.
        message: String,
    },
    /// The host's D-Bus, or whoever was called over it.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// This agent does not control its host.
    #[error("this agent does not control the host: it runs beside others, in a label scope of its own")]
    NotControlled,
}

/// A lock of the application that was broken on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLock {
    /// Service.
    pub service: String,
    /// File name.
    pub file: String,
}

/// Fires when something in the lock folders changed; never more often than a few times a second.
pub type LockChanges = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DiskSpace {
    /// Its size without what is kept back for root, bytes.
    pub total_bytes: u64,
    /// What an ordinary user could still write, bytes; what is kept back for root does not count.
    pub free_bytes: u64,
}

/// What is read from the host once at start and before planning.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// `PRETTY_NAME` of os-release.
    pub os_version: Option<String>,
    /// `ID` of os-release.
    pub os_slug: Option<String>,
    /// `VERSION_ID` (or the number in `VERSION`) of os-release.
    pub os_semver: Option<String>,
    /// The kernel's release, for example `5.15.34-v8`.
    pub kernel_version: Option<String>,
    /// NVIDIA's L4T version where the kernel or os-release names one (`-l4t-r32.7.1`).
    pub l4t_version: Option<String>,
    /// `VARIANT_ID` of os-release.
    pub os_variant: Option<String>,
    /// `BALENA_BOARD_REV` or `RESIN_BOARD_REV` of os-release.
    pub board_rev: Option<String>,
    /// Device type slug from `device-type.json`.
    pub device_type: Option<String>,
    /// Architecture slug from `device-type.json`, else from the machine (`amd64`, `aarch64`, `armv7hf`, `i386`, `rpi`).
    pub device_arch: Option<String>,
    /// The host's name.
    pub hostname: Option<String>,
    /// Addresses to report, space separated (protocol §14).
    pub ip_address: String,
    /// MAC addresses to report, space separated, upper case (protocol §14).
    pub mac_address: String,
    /// Which of `/lib/modules`, `/lib/firmware` exist under the host root.
    pub host_paths: BTreeSet<String>,
    /// When the machine started, ms since 1970 by its own clock.
    pub boot_time_ms: Option<i64>,
}

/// Addresses as they are reported (protocol §14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// IP addresses, space separated.
    pub ip: String,
    /// MAC addresses, space separated, upper case.
    pub mac: String,
}

/// How the device's VPN is (protocol §14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vpn {
    /// Whether its unit runs or is about to.
    pub enabled: bool,
    /// Whether it has a connection.
    pub connected: bool,
}

/// The host.
#[async_trait::async_trait]
pub trait Host: Send + Sync {
    /// Observes every lock under the lock root.
    ///
    /// # Errors
    /// When a folder cannot be read; a missing lock root is no locks.
    async fn locks(&self) -> Result<Locks, HostError>;

    /// Takes both lock files of every one of these services, all or none. With `force` the application's locks are broken
    /// first and returned. Locks of the agent left by an earlier run are taken over.
    async fn take_locks(&self, app: AppId, services: &BTreeSet<String>, force: bool) -> Result<Vec<BrokenLock>, HostError>;

    /// Removes the agent's own locks of these services; the application's are left.
    async fn release_locks(&self, app: AppId, services: &BTreeSet<String>) -> Result<(), HostError>;

    /// Removes the marker files that end a hand-over of this service (behaviour §7); gone is fine.
    async fn clear_marker(&self, app: AppId, service: &str) -> Result<(), HostError>;

    /// Tells when lock folders change.
    fn lock_changes(&self) -> LockChanges;

    /// Reads the device's description.
    async fn device_info(&self) -> DeviceInfo;

    /// The device's addresses at this moment.
    async fn addresses(&self) -> Addresses {
        Addresses::default()
    }

    /// How the machine is doing (protocol §6.2).
    async fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    /// What the machine and these containers have used so far. Nothing is asked of the engine: containers whose counters
    /// cannot be read here are left out.
    async fn usage(&self, _containers: &[Watched]) -> Usage {
        Usage::default()
    }

    /// Room on the file system that holds a path of the host.
    ///
    /// # Errors
    /// When the path is missing, or where free space is not known.
    async fn disk_space(&self, path: &Path) -> Result<DiskSpace, HostError> {
        Err(HostError::File { path: path.display().to_string(), message: "free space is not known".to_owned() })
    }

    /// What of the host the plan changes. Never fails: what cannot be read is said in it.
    async fn state(&self) -> HostState;

    /// Changes keys of a boot configuration and marks that a restart is due, for this reason.
    ///
    /// # Errors
    /// When the file cannot be used or written; it is then as it was.
    async fn write_boot_config(&self, back_end: &str, changes: &Changes, why: &str) -> Result<(), HostError>;

    /// Marks that a restart is due.
    ///
    /// # Errors
    /// When the mark cannot be written.
    async fn require_reboot(&self, why: &str) -> Result<(), HostError>;

    /// Asks for the device to be restarted or shut down.
    ///
    /// # Errors
    /// When nobody takes the request.
    async fn power(&self, change: PowerChange) -> Result<(), HostError>;

    /// Lets the device's light blink for a while (behaviour §17); a device without one does nothing.
    ///
    /// # Errors
    /// When the light is there and cannot be switched.
    async fn blink(&self) -> Result<(), HostError> {
        Ok(())
    }

    /// How the VPN is. What cannot be asked counts as off.
    async fn vpn(&self) -> Vpn {
        Vpn::default()
    }

    /// The device's name and proxy.
    ///
    /// # Errors
    /// When a file cannot be read.
    async fn host_config(&self) -> Result<HostConfig, HostError>;

    /// Changes the device's name or proxy.
    ///
    /// # Errors
    /// [`HostError::Invalid`] changed nothing; the others say what was done.
    async fn set_host_config(&self, patch: &HostConfigPatch) -> Result<(), HostError>;

    /// What `journalctl` prints with these arguments.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when it does not take them; another where it cannot be run.
    async fn journal(&self, arguments: Vec<String>) -> Result<JournalText, HostError> {
        let _ = arguments;
        Err(HostError::NotControlled)
    }

    /// Ends changes of the host that an earlier run of the agent began; returns what could not be done.
    async fn settle(&self) -> Option<String>;
}
