//! The device below the containers, as far as the plan changes it (behaviour §10 to §12).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::boot::Values;

/// What one round sees of the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HostState {
    /// The kernel's id of this boot. Empty where the agent does not control the host: then nothing about it is planned.
    pub boot_id: String,
    /// Device type slug; empty when it is not known.
    pub device_type: String,
    /// What the device's boot configuration says, by back-end; a file that cannot be used, with the reason.
    pub boot: BTreeMap<String, BootFile>,
    /// Why the device has to start again before what was set takes effect. Empty: it does not.
    pub reboot: BTreeSet<String>,
    /// An update of the host's system waits to be confirmed: the device must not be restarted under it.
    pub os_update: bool,
}

/// One file of the boot configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootFile {
    /// What it says.
    Says(Values),
    /// Why it cannot be used.
    Unusable(String),
}
