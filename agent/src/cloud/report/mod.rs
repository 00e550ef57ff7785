//! The report of the current state (protocol §6).
//!
//! [`full_report`] derives everything there is to say from a [`Picture`] of one round, without I/O; the [`Reporter`] sends
//! what differs from the last report the cloud accepted. Only what the target mentions is reported: a left-over image or
//! an old release that the cloud has forgotten must not get the whole report refused.

mod apps;
mod cache;
mod device;
mod diff;
mod metrics;
mod picture;
mod refusal;
mod reporter;
mod service;
mod status;

pub use device::{DeviceFields, os_variant};
pub use metrics::without_hardware;
pub use picture::{InFlight, Picture};
pub use reporter::{ReportLinks, ReportSettings, Reporter};
pub use service::status as service_status;
pub use status::{ServiceStatus, UpdateStatus};

use serde_json::Value;

use super::Report;

/// Everything there is to report. Without a picture (nothing was looked at yet, or there is no target) the apps are left
/// out, which tells the cloud nothing about them.
pub fn full_report(device: &DeviceFields<'_>, picture: Option<&Picture<'_>>) -> Report {
    let mut report = device::fields(device);
    if let Some(picture) = picture {
        report.insert("apps".into(), Value::Object(apps::apps(picture)));
    }
    report
}
