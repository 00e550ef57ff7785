//! Objects of the engine, as far as planning needs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::container::{ContainerSpec, ImageConfig, Mount, volume_owner};
use crate::target::{AppId, AppUuid, NetworkSpec, VolumeSpec};

/// The engine's word for a container's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// Being started again by the engine.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

/// The verdict of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not yet known.
    Starting,
    /// Healthy.
    Healthy,
    /// Unhealthy.
    Unhealthy,
}

/// A supervised container (label `io.balena.supervised` or `io.resin.supervised`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Container {
    /// Engine id.
    pub id: String,
    /// App it belongs to, from its labels.
    pub app_id: AppId,
    /// Uuid of the app; `None` on containers of very old agents.
    pub app_uuid: Option<AppUuid>,
    /// Service name, from its labels.
    pub service: String,
    /// Numeric service id, from its labels.
    pub service_id: Option<u64>,
    /// Release commit, from its name; empty when the name does not tell.
    pub commit: String,
    /// Numeric release id, from its name.
    pub release_id: Option<u64>,
    /// Numeric image id in the cloud, from its name.
    pub cloud_image_id: Option<u64>,
    /// Whether the name marks it as the old one of a hand-over.
    pub handing_over: bool,
    /// Engine id of its image.
    pub image_id: String,
    /// When it was made, ms since 1970 by the engine's clock.
    pub created_ms: i64,
    /// When it was last started, ms since 1970; `None` if never.
    pub started_ms: Option<i64>,
    /// When it last ended, ms since 1970; `None` if never.
    pub finished_ms: Option<i64>,
    /// State.
    pub state: ContainerState,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// The engine's error text of the last start, if any.
    pub error: String,
    /// Health; `None` without a health check.
    pub health: Option<Health>,
    /// How often the engine started it again.
    pub restart_count: i64,
    /// How it was made.
    pub spec: Arc<ContainerSpec>,
    /// The defaults of its image, where the engine still has it.
    pub image_config: Option<Arc<ImageConfig>>,
}

impl Container {
    /// Running or being started again by the engine: something would be stopped by removing it.
    pub fn is_up(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
    }

    /// Whether it mounts a named volume, by the volume's name in the engine.
    pub fn mounts_volume(&self, volume: &str) -> bool {
        let bound = self.spec.binds.iter().any(|bind| bind.split_once(':').is_some_and(|(source, _)| source == volume));
        bound || self.spec.mounts.iter().any(|mount| matches!(mount, Mount::Volume { source, .. } if source == volume))
    }
}

/// An image in the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Image {
    /// Engine id, `sha256:…`.
    pub id: String,
    /// `repository:tag` references.
    pub tags: Vec<String>,
    /// `repository@digest` references.
    pub digests: Vec<String>,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// A network in the engine with one of the agent's labels (or the name `supervisor0`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// Engine id: names may stand twice, ids do not.
    pub id: String,
    /// Name in the engine, `<appUuid>_<name>`.
    pub name: String,
    /// How it was made.
    pub spec: NetworkSpec,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume in the engine whose name has the form `<appId>_<name>`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Volume {
    /// Name in the engine.
    pub name: String,
    /// How it was made.
    pub spec: VolumeSpec,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, ms since 1970; `None` where the engine does not say.
    pub created_ms: Option<i64>,
}

impl Volume {
    /// The app in its name.
    pub fn app(&self) -> Option<AppId> {
        volume_owner(&self.name)
    }

    /// Whether an agent made it, this one or the one before it.
    pub fn is_supervised(&self) -> bool {
        ["io.balena.supervised", "io.resin.supervised"].iter().any(|label| self.labels.contains_key(*label))
    }
}

/// What the engine shows in one look.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineState {
    /// Supervised containers, running or not.
    pub containers: Vec<Container>,
    /// All images.
    pub images: Vec<Image>,
    /// The agent's networks.
    pub networks: Vec<Network>,
    /// Volumes that look like an app's.
    pub volumes: Vec<Volume>,
    /// Name of a running container of balena's own supervisor, if one is there: then the agent only watches.
    pub other_supervisor: Option<String>,
}
