//! What the loop works with and what it listens to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use holdfast_plan::target::ImageRef;
use tokio::sync::{broadcast, mpsc, watch};

use super::{Request, TargetInForce, View};
use crate::clock::Clock;
use crate::engine::{Engine, RegistryAuth};
use crate::events::Event;
use crate::host::Host;
use crate::policy::Zone;
use crate::registry::Registry;
use crate::store::Store;

/// Chooses the credentials for an image's registry, if any (protocol §11).
pub type AuthFor = Arc<dyn Fn(&ImageRef) -> Option<RegistryAuth> + Send + Sync>;

/// The effects and fixed facts of one device.
#[derive(Clone)]
pub struct Tools {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The host.
    pub host: Arc<dyn Host>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Registries, asked for sizes before a pull.
    pub registry: Arc<dyn Registry>,
    /// Registry credentials.
    pub auth_for: AuthFor,
    /// Where the engine keeps images on the host, for an engine that does not say so itself.
    pub data_root: Option<PathBuf>,
    /// May images without a name and a use be removed? Not where others work on the same engine (a label scope is set).
    pub clean_dangling: bool,
    /// The device's time zone, for windows.
    pub zone: Arc<Zone>,
    /// Device uuid.
    pub uuid: String,
    /// Cloud address; `None` when unmanaged.
    pub api_endpoint: Option<String>,
    /// Device key, for services that may call the cloud.
    pub device_api_key: Option<String>,
    /// Port of the local API for containers.
    pub api_port: u16,
    /// Lock root as the engine sees it.
    pub lock_root: String,
    /// How long volumes of departed apps are kept.
    pub volume_grace: Duration,
    /// Longest wait between tries of a failed step.
    pub max_retry: Duration,
}

/// The loop's ends of the channels that `app.rs` sets up.
pub struct Channels {
    /// The target in force.
    pub target: watch::Receiver<Option<TargetInForce>>,
    /// Requests from the local API and the cloud side.
    pub requests: mpsc::Receiver<Request>,
    /// What the loop shows.
    pub view: watch::Sender<Arc<View>>,
    /// What happened.
    pub events: broadcast::Sender<Event>,
    /// Time since boot of the last tick, ms: fed to the watchdog and to health.
    pub tick: Arc<AtomicI64>,
    /// The loop ticks at least this often, whatever it waits for.
    pub tick_every: Duration,
    /// Turns true when the agent is asked to end.
    pub shutdown: watch::Receiver<bool>,
}
