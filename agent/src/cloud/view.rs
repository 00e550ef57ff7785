//! What the cloud side shows to everybody else, and what it can be asked.

use serde::Serialize;

/// How the connection to the cloud is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CloudView {
    /// `apiEndpoint`; empty when the device is unmanaged.
    pub endpoint: String,
    /// How far the device is with joining this cloud; `None` once it has.
    pub provisioning: Option<Provisioning>,
    /// When the last poll succeeded (200 or 304), ms since boot.
    pub last_poll_boot_ms: Option<i64>,
    /// Why the last poll failed, if it did.
    pub poll_error: Option<String>,
    /// Polls that failed in a row.
    pub poll_failures: u32,
    /// Polls since the agent started.
    pub polls: u64,
    /// Those of them that failed.
    pub polls_failed: u64,
    /// When the next poll is due, ms since boot.
    pub next_poll_boot_ms: Option<i64>,
    /// When the last report was accepted, ms since boot.
    pub last_report_boot_ms: Option<i64>,
    /// Why the last report failed, if it did.
    pub report_error: Option<String>,
    /// Reports that failed in a row.
    pub report_failures: u32,
    /// Reports since the agent started.
    pub reports: u64,
    /// Those of them that failed.
    pub reports_failed: u64,
    /// Uuids of apps that the cloud refuses to hear of; the others are reported without them.
    pub report_refused_apps: Vec<String>,
    /// When the next report is tried, ms since boot, if one is due.
    pub next_report_boot_ms: Option<i64>,
}

/// A device that is joining its cloud (protocol §9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Provisioning {
    /// What it is at, for example `registering with https://api.example.com`.
    pub doing: String,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// When the next attempt is due, ms since boot; `None` while one is being made.
    pub next_try_boot_ms: Option<i64>,
}

/// A request to poll now (protocol §5, `POST /v1/update`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollNow {
    /// Who asks, for the log.
    pub from: String,
    /// Break update locks in what follows.
    pub force: bool,
    /// Give up a running download and plan anew.
    pub cancel: bool,
}
