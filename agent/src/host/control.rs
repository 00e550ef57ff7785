//! Control over the host: boot configuration, restart and shutdown, name and proxy (behaviour §10 to §13.1).

use std::path::{Path, PathBuf};

use holdfast_plan::boot::Changes;
use holdfast_plan::current::HostState;
use holdfast_plan::host_config::{HostConfig, HostConfigPatch, Network, Proxy, ProxyFile, ProxyPatch};
use holdfast_plan::memory::PowerChange;
use serde_json::Value;

use super::HostError;
use super::boot::{BootConfig, Entry, FileChange, Journal, Mark};
use super::file::first_line;
use super::{power, unit};
use crate::settings::ConfigFile;

const MARK: &str = "tmp/balena-supervisor/reboot-after-apply";
const VPN: &str = "openvpn.service";
const REDSOCKS: &str = "system-proxy/redsocks.conf";
const NO_PROXY: &str = "system-proxy/no_proxy";
/// An update of the host's system is on trial while one of these is there (behaviour §12).
const OS_UPDATE: [&str; 2] = ["mnt/state/rollback-health-breadcrumb", "mnt/state/rollback-altboot-breadcrumb"];
/// As much of the uuid as the default name has.
const DEFAULT_NAME_CHARS: usize = 7;

/// What control needs to know.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// Where the agent keeps its own files.
    pub data_dir: PathBuf,
    /// config.json.
    pub config: ConfigFile,
    /// Address of the host's D-Bus.
    pub bus: String,
    /// The device's uuid, for its default name.
    pub uuid: String,
}

/// Control over one host.
#[derive(Debug)]
pub(super) struct Control {
    root: PathBuf,
    settings: ControlSettings,
    boot: BootConfig,
}

impl Control {
    pub fn new(root: &Path, settings: ControlSettings) -> Control {
        // Always the machine's own, wherever the host's root is.
        let boot_id = first_line(Path::new("/"), "proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = BootConfig {
            root: root.to_owned(),
            journal: Journal { path: settings.data_dir.join("boot-files.journal"), root: root.to_owned() },
            mark: Mark { path: root.join(MARK), boot_id },
            config: settings.config.clone(),
        };
        Control { root: root.to_owned(), settings, boot }
    }

    pub fn observe(&self, device_type: Option<String>, boot_time_ms: Option<i64>) -> HostState {
        let device_type = device_type.unwrap_or_default();
        HostState {
            boot_id: self.boot.mark.boot_id.clone(),
            boot: self.boot.observe(&device_type),
            reboot: self.boot.mark.reasons(boot_time_ms),
            os_update: self.os_update(),
            device_type,
        }
    }

    fn os_update(&self) -> bool {
        OS_UPDATE.iter().any(|mark| self.root.join(mark).exists())
    }

    pub fn write_boot_config(&self, back_end: &str, changes: &Changes, why: &str) -> Result<(), HostError> {
        self.boot.write(back_end, changes, why)
    }

    pub fn require_reboot(&self, why: &str) -> Result<(), HostError> {
        self.boot.mark.set(why)
    }

    /// Whether the VPN's unit runs or is about to (protocol §14).
    pub async fn vpn_enabled(&self) -> bool {
        unit::is_active(&self.settings.bus, VPN).await.unwrap_or(false)
    }

    pub async fn power(&self, change: PowerChange) -> Result<(), HostError> {
        Ok(power::ask(&self.settings.bus, change).await?)
    }

    /// Ends what an earlier run began; returns what could not be done.
    pub async fn settle(&self) -> Option<String> {
        let (restart, problem) = self.boot.settle();
        if restart {
            // While the bus is away, the journal stays for the next start.
            if let Err(error) = unit::restart_proxy(&self.settings.bus).await {
                return Some(format!("the proxy was changed, but its services could not be restarted: {error}"));
            }
            self.boot.journal.finish();
        }
        problem
    }

    pub fn host_config(&self, hostname: Option<String>) -> Result<HostConfig, HostError> {
        Ok(HostConfig { network: Network { hostname, proxy: self.proxy()? } })
    }

    fn text(&self, file: &str) -> Result<Option<String>, HostError> {
        let found = self.boot.journal.read(file);
        let found = found.map_err(|message| HostError::File { path: format!("/mnt/boot/{file}"), message })?;
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn proxy(&self) -> Result<Option<Proxy>, HostError> {
        Ok(Proxy::read(self.text(REDSOCKS)?.as_deref(), self.text(NO_PROXY)?.as_deref()))
    }

    pub async fn set_host_config(&self, patch: &HostConfigPatch) -> Result<(), HostError> {
        let entry = patch.proxy.as_ref().map(|patch| self.proxy_entry(patch)).transpose()?;
        if let Some(name) = &patch.hostname {
            let default = || self.settings.uuid.chars().take(DEFAULT_NAME_CHARS).collect();
            let name = if name.is_empty() { default() } else { name.clone() };
            self.settings.config.rewrite(&[("hostname", Some(Value::String(name)))]).map_err(|error| HostError::File {
                path: "config.json".into(),
                message: format!("the name cannot be set: {error}"),
            })?;
        }
        if let Some(entry) = entry {
            self.boot.journal.write(&entry)?;
            let restarted = unit::restart_proxy(&self.settings.bus).await;
            self.boot.journal.finish();
            restarted.map_err(|error| {
                let message =
                    format!("written, but the proxy's services could not be restarted; they read it at the next start: {error}");
                HostError::File { path: format!("/mnt/boot/{REDSOCKS}"), message }
            })?;
        }
        Ok(())
    }

    fn proxy_entry(&self, patch: &ProxyPatch) -> Result<Entry, HostError> {
        let (redsocks, no_proxy) = patch.files(self.proxy()?.as_ref()).map_err(HostError::Invalid)?;
        let mut files = Vec::new();
        for (file, change) in [(REDSOCKS, redsocks), (NO_PROXY, no_proxy)] {
            let after = match change {
                ProxyFile::Keep => continue,
                ProxyFile::Remove => None,
                ProxyFile::Write(text) => Some(text),
            };
            let before = self.boot.journal.read(file);
            let before = before.map_err(|message| HostError::File { path: format!("/mnt/boot/{file}"), message })?;
            files.push(FileChange::new(file, before.as_deref(), after.as_ref().map(String::as_bytes)));
        }
        Ok(Entry { files, reboot: None, restart: true })
    }
}
