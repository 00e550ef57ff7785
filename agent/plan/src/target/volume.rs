//! Named volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a named volume is made of; the same words for the wanted and the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// The engine's volume driver; `local` unless asked otherwise.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels, without the agent's own (`io.balena.supervised`, `io.balena.app-uuid`, `io.resin.supervised`).
    pub labels: BTreeMap<String, String>,
}

impl Default for VolumeSpec {
    fn default() -> Self {
        VolumeSpec { driver: "local".into(), driver_opts: BTreeMap::new(), labels: BTreeMap::new() }
    }
}
