//! The container engine as the rest of the agent sees it: our own types, no engine's client named outside `docker/`.
//!
//! Nothing here knows what a release is for. Every call names one object; every error says which object and what the
//! engine answered.

mod address;
pub mod docker;
mod error;
mod locate;
mod log;

pub use crate::http::RegistryAuth;
pub use address::{Address, DEFAULT_ADDRESSES};
pub(crate) use docker::unix_ns;
pub use error::EngineError;
pub use locate::locate;
pub use log::{LogLine, LogLines, LogRange};

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use holdfast_plan::container::{ContainerSpec, RestartPolicy};
use holdfast_plan::current::{EngineState, Image, Volume};
use holdfast_plan::target::{AppId, AppUuid, ImageRef, NetworkSpec, VolumeSpec};

use crate::usage::ContainerUsage;

/// What the engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct EngineInfo {
    /// Product name, for example `Docker` or `balenaEngine` or `Podman`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The API version that was agreed on.
    pub api_version: String,
    /// Where it listens, for example `unix:///var/run/docker.sock`.
    pub address: String,
    /// Where it keeps images and volumes on the host, if it says so.
    pub data_root: Option<String>,
}

/// Called with the progress of a pull, 0 to 100; never goes down within one pull.
pub type Progress = Arc<dyn Fn(u8) + Send + Sync>;

/// Something happened in the engine: look again. `Closed` means the stream broke and has to be opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A supervised object changed.
    Changed,
    /// The stream ended.
    Closed,
}

/// A stream of events that ends when the connection does.
pub type Events = Pin<Box<dyn Stream<Item = EngineEvent> + Send>>;

/// A tar stream of a volume's content, in pieces. An error of it breaks the copy off.
pub type Content = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// The engine's result.
pub type Result<T> = std::result::Result<T, EngineError>;

/// A container engine. Calls are safe to repeat: making what is there and removing what is gone both succeed.
/// Dropping the future of a call abandons it; an abandoned pull stops downloading.
#[async_trait::async_trait]
pub trait Engine: Send + Sync {
    /// Asks the engine who it is; also proves that it answers.
    async fn describe(&self) -> Result<EngineInfo>;

    /// Looks at everything planning needs.
    async fn observe(&self) -> Result<EngineState>;

    /// Forgets what `observe` may have kept from earlier looks, so that the next one is complete.
    fn forget_cache(&self);

    /// Events that concern supervised objects.
    async fn events(&self) -> Result<Events>;

    /// Pulls an image (by digest where the reference has one), tags it with its repository name so that it can be found
    /// later (protocol §11), and returns what the engine then has.
    async fn pull(&self, image: &ImageRef, auth: Option<&RegistryAuth>, progress: Progress) -> Result<Image>;

    /// Removes an image's tags, then its digests; an image in use is an error of kind `Conflict`. Gone is fine.
    async fn remove_image(&self, image: &ImageRef) -> Result<()>;

    /// Removes an image by its engine id, never by force: one that is used or stands under several names is an error of kind
    /// `Conflict`. Gone is fine.
    async fn remove_image_by_id(&self, id: &str) -> Result<()>;

    /// The layers of all images that are there, as diff ids: what a download does not have to bring. An engine that cannot
    /// tell names none.
    async fn layers(&self) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }

    /// Makes a network with the agent's labels; an identical one is fine.
    async fn create_network(&self, name: &str, network: &NetworkSpec, app: AppId) -> Result<()>;

    /// Removes a network by its engine id.
    async fn remove_network(&self, id: &str) -> Result<()>;

    /// Makes a volume with the agent's labels; an identical one is fine.
    async fn create_volume(&self, name: &str, volume: &VolumeSpec, app: &AppUuid) -> Result<()>;

    /// Removes a volume and its data.
    async fn remove_volume(&self, name: &str) -> Result<()>;

    /// Reads a volume's content, with names that begin with `./`. `image` is the id of any image the engine has: a container
    /// of it is made for the time of the copy and never started. Dropping the content ends the copy.
    async fn read_volume(&self, name: &str, image: &str) -> Result<Content>;

    /// Adds such content to a volume.
    async fn write_volume(&self, name: &str, image: &str, content: Content) -> Result<()>;

    /// Replaces a volume by an empty one with the same settings and labels; one that is gone is made. One that a container
    /// uses, running or not, is an error of kind `Conflict`.
    async fn empty_volume(&self, volume: &Volume) -> Result<()>;

    /// The sizes of volumes in bytes, by name. This may take the engine long: it counts.
    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>>;

    /// Removes what interrupted copies of volumes left.
    async fn sweep_copies(&self) -> Result<()>;

    /// Reads what a container wrote, in the order it was written. A log driver that cannot be read is an error.
    async fn logs(&self, id: &str, range: &LogRange) -> Result<LogLines> {
        let (object, _) = (format!("log of container {id}"), range);
        Err(EngineError::Failed { object, message: "this engine keeps no logs".to_owned() })
    }

    /// Makes a container with all its networks and returns its id. A container of that name that is there already from an
    /// interrupted attempt is an error of kind `Conflict`.
    async fn create_container(&self, spec: &ContainerSpec) -> Result<String>;

    /// Starts a container; running is fine.
    async fn start_container(&self, id: &str) -> Result<()>;

    /// Stops a container within its own grace period; stopped or gone is fine.
    async fn stop_container(&self, id: &str) -> Result<()>;

    /// Removes a container with its anonymous volumes; gone is fine.
    async fn remove_container(&self, id: &str) -> Result<()>;

    /// Gives a container another name.
    async fn rename_container(&self, id: &str, name: &str) -> Result<()>;

    /// What a running container has used since it was started, where the machine's own counters cannot be read.
    ///
    /// # Errors
    /// When the engine does not tell.
    async fn usage(&self, id: &str) -> Result<ContainerUsage> {
        let message = "this engine keeps no figures".to_owned();
        Err(EngineError::Failed { object: format!("container {id}"), message })
    }

    /// Changes a container's restart policy.
    async fn set_restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<()>;
}
