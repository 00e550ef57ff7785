//! The channels between the loops, and what the API gets of them.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};

use crate::api::{self, ApiState, Listening};
use crate::clock::Clock;
use crate::cloud::{Cloud, CloudView, Timing};
use crate::diagnose::Diagnosis;
use crate::events::Event;
use crate::reconcile::TargetInForce;
use crate::settings::Settings;
use crate::slot::UpdateLink;
use crate::telemetry::Statistics;

/// Requests that may wait for a loop; more are told to come again.
pub(super) const QUEUE: usize = 16;

/// Events a slow reader may fall behind by.
const EVENTS: usize = 256;

/// The channels between the loops.
pub(super) struct Wires {
    pub target: watch::Sender<Option<TargetInForce>>,
    pub requests: (mpsc::Sender<crate::reconcile::Request>, mpsc::Receiver<crate::reconcile::Request>),
    pub local: (mpsc::Sender<api::LocalTarget>, mpsc::Receiver<api::LocalTarget>),
    pub tags: (mpsc::Sender<crate::cloud::TagChange>, mpsc::Receiver<crate::cloud::TagChange>),
    pub polls: (mpsc::Sender<crate::cloud::PollNow>, mpsc::Receiver<crate::cloud::PollNow>),
    pub view: watch::Sender<Arc<crate::reconcile::View>>,
    pub cloud_view: watch::Sender<CloudView>,
    pub timing: watch::Sender<Timing>,
    pub events: broadcast::Sender<Event>,
    pub tick: Arc<AtomicI64>,
    pub tick_every: Duration,
    pub shutdown: watch::Sender<bool>,
    /// What happened before there was anybody to tell.
    pub news: Vec<Event>,
    /// Everything has to begin anew with what config.json says now.
    pub anew: Arc<Notify>,
}

/// What the API shows besides what the loops tell each other.
pub(super) struct Shown {
    /// The checks of the device.
    pub diagnosis: Arc<Diagnosis>,
    /// The cloud, for what has to be asked there and then; `None` when the device speaks to none.
    pub calls: Option<Arc<dyn Cloud>>,
    pub statistics: Statistics,
    /// Where the API listens over TCP.
    pub listening: watch::Receiver<Listening>,
    /// The agent's own version.
    pub update: UpdateLink,
}

impl Wires {
    pub fn new(
        settings: &Settings,
        target: Option<TargetInForce>,
        clock: &dyn Clock,
        tick_every: Duration,
        news: Vec<Event>,
    ) -> Wires {
        Wires {
            target: watch::Sender::new(target),
            requests: mpsc::channel(QUEUE),
            local: mpsc::channel(1),
            tags: mpsc::channel(QUEUE),
            polls: mpsc::channel(QUEUE),
            view: watch::Sender::new(Arc::default()),
            cloud_view: watch::Sender::new(CloudView::default()),
            timing: watch::Sender::new(Timing::from(settings)),
            events: broadcast::Sender::new(EVENTS),
            tick: Arc::new(AtomicI64::new(clock.now().boot_ms)),
            tick_every,
            shutdown: watch::Sender::new(false),
            news,
            anew: Arc::default(),
        }
    }

    /// What the API is given to read and to ask.
    pub fn api_state(&self, identity: api::Identity, tools: &crate::reconcile::Tools, shown: Shown) -> ApiState {
        ApiState {
            identity,
            view: self.view.subscribe(),
            cloud: self.cloud_view.subscribe(),
            tick: self.tick.clone(),
            poll: self.polls.0.clone(),
            requests: self.requests.0.clone(),
            local: self.local.0.clone(),
            tags: self.tags.0.clone(),
            calls: shown.calls,
            host: tools.host.clone(),
            engine: tools.engine.clone(),
            store: tools.store.clone(),
            clock: tools.clock.clone(),
            diagnosis: shown.diagnosis,
            statistics: shown.statistics,
            listening: shown.listening,
            update: shown.update,
            streams: api::Streams::new(self.shutdown.subscribe()),
        }
    }
}
