//! What handlers may see and whom they may ask.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use holdfast_plan::policy::Now;
use tokio::sync::{mpsc, watch};

use super::streams::Streams;
use super::{Listening, LocalTarget};
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudView, PollNow, TagChange};
use crate::diagnose::Diagnosis;
use crate::engine::Engine;
use crate::host::Host;
use crate::reconcile::{Request, View};
use crate::settings::SettingFault;
use crate::slot::UpdateLink;
use crate::store::Store;
use crate::telemetry::Statistics;

/// Who this device is: what stays the same while the agent runs.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Device uuid; empty while it has none.
    pub uuid: String,
    /// Where the target comes from, as it is stored: `apiEndpoint`, or `local`.
    pub target_source: String,
    /// Device type slug of config.json.
    pub device_type: Option<String>,
    /// Port of the local API over TCP, as reported.
    pub api_port: u16,
    /// Whether the OS is in development mode.
    pub development_mode: bool,
    /// What was wrong with the settings; stands until it is mended and the agent started again.
    pub settings_faults: Vec<SettingFault>,
}

/// Everything the API has: pictures to read, and the channels on which requests are submitted.
#[derive(Clone)]
pub struct ApiState {
    /// Who this device is.
    pub identity: Identity,
    /// The loop's picture.
    pub view: watch::Receiver<Arc<View>>,
    /// The cloud's.
    pub cloud: watch::Receiver<CloudView>,
    /// When the loop last ticked, ms since boot. Starts with the time the agent started.
    pub tick: Arc<AtomicI64>,
    /// Asks for a poll.
    pub poll: mpsc::Sender<PollNow>,
    /// Asks the loop.
    pub requests: mpsc::Sender<Request>,
    /// Hands over a target of the device's own.
    pub local: mpsc::Sender<LocalTarget>,
    /// Hands over tags of the device.
    pub tags: mpsc::Sender<TagChange>,
    /// The cloud, for what is asked of it while a client waits; `None` when the device is unmanaged.
    pub calls: Option<Arc<dyn Cloud>>,
    /// The host, to read.
    pub host: Arc<dyn Host>,
    /// The engine, for what is no container of an app's: the content of volumes.
    pub engine: Arc<dyn Engine>,
    /// The store, to read.
    pub store: Arc<dyn Store>,
    /// What the machine and its containers use, to read.
    pub statistics: Statistics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where it listens over TCP.
    pub listening: watch::Receiver<Listening>,
    /// The agent's own version: what is shown of it, and who is asked for another.
    pub update: UpdateLink,
    /// Places for answers without an end.
    pub streams: Streams,
    /// The checks of the device.
    pub diagnosis: Arc<Diagnosis>,
}

impl ApiState {
    /// The loop's latest picture.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }
}
