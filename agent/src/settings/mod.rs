//! Settings: raw sources, merged by precedence, validated into one [`Settings`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything the agent is told, validated. Sources and defaults: `interface.md`'s table of settings, restated in `docs/`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where config.json is (under the host root).
    pub config: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The database file.
    pub database: PathBuf,
    /// Address of the engine (`unix:///…` or `sim:`); `None` takes the first usual one that answers.
    pub engine: Option<String>,
    /// The local API's unix socket.
    pub socket: PathBuf,
    /// The local API over TCP, only when asked for.
    pub listen: Option<SocketAddr>,
    /// Lock root on the host: given as it is to the engine, opened under `host_root`.
    pub lock_dir: PathBuf,
    /// How long volumes of an app that left the target are kept.
    pub volume_grace: Duration,
    /// The host's root directory.
    pub host_root: PathBuf,
    /// Time between polls.
    pub poll_interval: Duration,
    /// Upper bound of the random time added to it.
    pub poll_jitter: Duration,
    /// Least time between reports.
    pub report_interval: Duration,
    /// The cloud, from config.json.
    pub cloud: CloudSettings,
    /// Manage only objects that carry this value in the label `io.holdfast.scope`, and give it to what is made: the demo's
    /// way to stay apart. `None` in ordinary use.
    pub scope: Option<String>,
}

/// What config.json says of the cloud (protocol §10).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudSettings {
    /// Base URL without a trailing slash; empty is an unmanaged device.
    pub api_endpoint: String,
    /// Device uuid, 32 hex digits (longer ones are taken as they are).
    pub uuid: Option<String>,
    /// Device key.
    pub device_api_key: Option<String>,
    /// Provisioning key.
    pub api_key: Option<String>,
    /// The device's id in the cloud.
    pub device_id: Option<u64>,
    /// The fleet's id.
    pub application_id: Option<u64>,
    /// Device type slug.
    pub device_type: Option<String>,
    /// The registry that gets the device's credentials, when the rule in `interface.md` does not fit.
    pub registry_endpoint: Option<String>,
    /// PEM certificates the device trusts besides the bundled ones (`balenaRootCA`, base64 in the file).
    pub root_ca_pem: Option<String>,
    /// OS development mode.
    pub development_mode: bool,
    /// Port of the local API where a container needs it.
    pub listen_port: u16,
}
