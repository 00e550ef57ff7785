//! What `GET /v3/status` answers: everything a person at the device wants to know, on one page.
//!
//! Every field has a default, so that a command line of another version than the agent's reads what it understands.

mod app;
mod build;
mod onlooker;

pub use app::{AppRow, DoingRow, OffenceRow, RefusedRow, ServiceRow, UnsupportedRow, WaitRow};
pub(super) use build::{refused_rows, status};
pub(super) use onlooker::hide_path;

use serde::Serialize;

use super::moment::{Ago, Ahead};
use super::reading::read_by_field;
use crate::store::Recovery;

/// The state of the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The device and its agent.
    pub device: DeviceRow,
    /// What the agent is at.
    pub phase: PhaseRow,
    /// Whether the agent itself is well.
    pub health: Health,
    /// Every app, wanted or still present.
    pub apps: Vec<AppRow>,
    /// What is being done now.
    pub doing: Vec<DoingRow>,
    /// What is not done now, and why.
    pub waiting: Vec<WaitRow>,
    /// Apps whose part of the target is refused.
    pub refused: Vec<RefusedRow>,
    /// What the target asks for and the agent does not do.
    pub unsupported: Vec<UnsupportedRow>,
    /// What is wrong.
    pub faults: Vec<FaultRow>,
    /// What was wrong with the settings at the start.
    pub settings: Vec<FaultRow>,
    /// Where the local API listens over TCP.
    pub listens: Vec<String>,
    /// The connection to the cloud.
    pub cloud: Cloud,
    /// The engine, once it answered.
    pub engine: Option<EngineRow>,
    /// The database.
    pub database: Database,
    /// The time of this answer, RFC 3339 in UTC; `None` while the clock is not trusted.
    pub utc: Option<String>,
    /// Whether this is only what is shown without a key.
    pub reduced: bool,
}

read_by_field!(Status {
    device,
    phase,
    health,
    apps,
    doing,
    waiting,
    refused,
    unsupported,
    faults,
    settings,
    listens,
    cloud,
    engine,
    database,
    utc,
    reduced
});

/// The device and its agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceRow {
    /// Uuid; empty while it has none.
    pub uuid: String,
    /// Name, from the target.
    pub name: Option<String>,
    /// Device type slug.
    #[serde(rename = "type")]
    pub device_type: Option<String>,
    /// Architecture slug.
    pub arch: Option<String>,
    /// The host's operating system.
    pub os: Option<String>,
    /// Addresses, space separated.
    pub ip_address: String,
    /// The agent's own version.
    pub agent_version: String,
    /// The balena-supervisor level it is compatible with.
    pub compatible_version: String,
}

read_by_field!(DeviceRow { uuid, name, device_type = "type", arch, os, ip_address, agent_version, compatible_version });

/// What the agent is at.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PhaseRow {
    /// `starting`, `no-target`, `watch-only`, `applying`, `waiting`, `settled` or `engine-away`.
    pub name: String,
    /// The same as a sentence.
    pub text: String,
    /// Since when, where it is known.
    pub since: Option<Ago>,
}

read_by_field!(PhaseRow { name, text, since });

/// Whether the agent itself is well; the network has no part in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// The verdict of `/v1/healthy`.
    pub healthy: bool,
    /// What speaks against it.
    pub reasons: Vec<String>,
}

read_by_field!(Health { healthy, reasons });

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FaultRow {
    /// What it hit.
    pub subject: String,
    /// What happened and what comes next.
    pub message: String,
}

read_by_field!(FaultRow { subject, message });

/// The connection to the cloud.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cloud {
    /// `apiEndpoint`; empty when the device is unmanaged.
    pub endpoint: String,
    /// How far the device is with joining the cloud; `None` once it has.
    pub provisioning: Option<ProvisioningRow>,
    /// When a poll last succeeded.
    pub last_poll: Option<Ago>,
    /// When the next poll is due.
    pub next_poll: Option<Ahead>,
    /// Why the last poll failed, if it did.
    pub poll_error: Option<String>,
    /// Polls that failed in a row.
    pub poll_failures: u32,
    /// When a report was last accepted.
    pub last_report: Option<Ago>,
    /// When the next report is tried, if one is due.
    pub next_report: Option<Ahead>,
    /// Why the last report failed, if it did.
    pub report_error: Option<String>,
    /// Reports that failed in a row.
    pub report_failures: u32,
    /// Uuids of apps that the cloud refuses to hear of.
    pub report_refused_apps: Vec<String>,
}

read_by_field!(Cloud {
    endpoint,
    provisioning,
    last_poll,
    next_poll,
    poll_error,
    poll_failures,
    last_report,
    next_report,
    report_error,
    report_failures,
    report_refused_apps
});

/// A device that is joining its cloud.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProvisioningRow {
    /// What it is at, for example `registering with https://api.example.com`.
    pub doing: String,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// When the next attempt is due; `None` while one is being made.
    pub next_try: Option<Ahead>,
}

read_by_field!(ProvisioningRow { doing, error, failures, next_try });

/// The engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EngineRow {
    /// Product.
    pub name: String,
    /// Version.
    pub version: String,
    /// API version.
    pub api_version: String,
    /// Where it listens.
    pub address: String,
}

read_by_field!(EngineRow { name, version, api_version, address });

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Database {
    /// Its file.
    pub path: String,
    /// Whether it is open and writable.
    pub open: bool,
    /// Schema version.
    pub schema: u32,
    /// Journal mode.
    pub journal_mode: String,
    /// Bytes of the main file.
    pub size_bytes: u64,
    /// Rows of all tables together.
    pub rows: u64,
    /// The newest backup, if there is one.
    pub newest_backup: Option<BackupRow>,
    /// Bytes that can still be written on its partition.
    pub free_bytes: Option<u64>,
    /// Bytes of its partition.
    pub partition_bytes: Option<u64>,
    /// The last error, if it still stands.
    pub error: Option<String>,
    /// What had to be done at this start before it could be opened.
    pub recovery: Option<Recovery>,
}

read_by_field!(Database {
    path,
    open,
    schema,
    journal_mode,
    size_bytes,
    rows,
    newest_backup,
    free_bytes,
    partition_bytes,
    error,
    recovery
});

/// A backup of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BackupRow {
    /// Its file.
    pub path: String,
    /// When it was made, if the clock was trusted then and is now.
    pub taken: Option<Ago>,
    /// Its schema version.
    pub schema: u32,
    /// Its size.
    pub bytes: u64,
    /// Whether it was opened and checked after it was made.
    pub verified: bool,
}

read_by_field!(BackupRow { path, taken, schema, bytes, verified });
