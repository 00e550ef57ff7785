//! For tests: a device whose engine, host and store are simulated, and the loop on it, under paused time.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use fastrand::Rng;
use holdfast_plan::policy::Now;
use holdfast_plan::target::{DeviceTarget, ImageRef, parse};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};

use super::{Channels, Phase, Reconciler, Request, TargetInForce, Tools, View};
use crate::clock::Clock;
use crate::events::Event;
use crate::host::DiskSpace;
use crate::policy::Zone;
use crate::registry::Layer;
use crate::sandbox::engine::{Entry, SimEngine};
use crate::sandbox::host::SimHost;
use crate::store::{InlineStore, Store};

pub(super) const MB: u64 = 1_000_000;
const DEVICE: &str = "00112233445566778899aabbccddeeff";
pub(super) const APP: &str = "aabbccddeeff00112233445566778899";

/// Wall clock and time since boot from tokio's, so that they pause together.
struct PausedClock(tokio::time::Instant);

impl Clock for PausedClock {
    fn now(&self) -> Now {
        let boot_ms = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Now { wall_ms: Some(1_800_000_000_000 + boot_ms), machine_ms: 1_800_000_000_000 + boot_ms, boot_ms }
    }
}

/// The device.
pub(super) struct Bench {
    pub engine: SimEngine,
    pub host: SimHost,
    pub store: Arc<InlineStore>,
    pub tools: Tools,
}

impl Bench {
    /// A device whose disk has 1000 MB, so many of them free.
    pub fn new(free_mb: u64) -> Bench {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(tokio::time::Instant::now()));
        let engine = SimEngine::new(Rng::with_seed(1), clock.clone());
        let host = SimHost::new(Rng::with_seed(2), clock.clone());
        let store = Arc::new(InlineStore::new());
        let tools = Tools {
            engine: Arc::new(engine.clone()),
            host: Arc::new(host.clone()),
            store: store.clone(),
            clock,
            registry: Arc::new(engine.clone()),
            auth_for: Arc::new(|_| None),
            data_root: None,
            clean_dangling: true,
            zone: Arc::new(Zone::default()),
            uuid: DEVICE.into(),
            api_endpoint: None,
            device_api_key: None,
            api_port: 48484,
            lock_root: "/tmp/balena-supervisor/services".into(),
            volume_grace: Duration::ZERO,
            max_retry: Duration::from_secs(900),
        };
        let bench = Bench { engine, host, store, tools };
        bench.set_free(free_mb);
        bench
    }

    pub fn set_free(&self, mb: u64) {
        self.host.set_disk(DiskSpace { total_bytes: 1000 * MB, free_bytes: mb * MB });
    }

    pub fn offer(&self, digit: char, layers: &[(&str, u64)]) {
        self.engine.catalogue(|catalogue| catalogue.set(&image(digit), entry(layers)));
    }

    pub fn has(&self, digit: char) -> bool {
        let text = image(digit).to_string();
        self.engine.snapshot().images.iter().any(|image| image.digests.contains(&text))
    }
}

pub(super) fn image(digit: char) -> ImageRef {
    format!("r.io/main@sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

/// Layers by name and MB to download.
pub(super) fn entry(layers: &[(&str, u64)]) -> Entry {
    let layer = |(id, mb): &(&str, u64)| Layer { diff_id: (*id).into(), compressed_bytes: mb * MB };
    Entry { layers: layers.iter().map(layer).collect(), ..Entry::default() }
}

/// One app at release `commit<digit>`: services by name, each with its image's digit and its composition.
pub(super) fn target(digit: char, services: &[(&str, char, Value)]) -> DeviceTarget {
    let service = |(name, digit, composition): &(&str, char, Value)| {
        let service = json!({ "id": 1, "image_id": 1, "image": image(*digit).to_string(), "labels": {}, "environment": {},
            "composition": composition });
        ((*name).to_owned(), service)
    };
    let services: BTreeMap<String, Value> = services.iter().map(service).collect();
    let releases =
        BTreeMap::from([(format!("commit{digit}"), json!({ "id": 1, "services": services, "networks": {}, "volumes": {} }))]);
    let app = json!({ "id": 1, "name": "fleet", "class": "fleet", "is_host": false, "releases": releases });
    let target = parse(&json!({ DEVICE: { "name": "d", "config": {}, "apps": { APP: app } } }), DEVICE).unwrap();
    assert!(target.refused.is_empty(), "{:?}", target.refused);
    target
}

/// A loop that runs, and the ends of its channels that are needed. It ends with this.
pub(super) struct Loop {
    target: watch::Sender<Option<TargetInForce>>,
    pub view: watch::Receiver<Arc<View>>,
    pub events: broadcast::Receiver<Event>,
    pub requests: mpsc::Sender<Request>,
    _shutdown: watch::Sender<bool>,
}

impl Loop {
    pub async fn start(bench: &Bench) -> Loop {
        let (target, targets) = watch::channel(None);
        let (view_out, view) = watch::channel(Arc::new(View::default()));
        let (requests, requested) = mpsc::channel(4);
        let (shutdown, down) = watch::channel(false);
        let (events_out, events) = broadcast::channel(1024);
        let channels = Channels {
            target: targets,
            requests: requested,
            view: view_out,
            events: events_out,
            tick: Arc::new(AtomicI64::new(0)),
            tick_every: Duration::from_secs(60),
            shutdown: down,
        };
        let loaded = bench.store.load("", DEVICE).await.unwrap();
        tokio::spawn(Reconciler::new(bench.tools.clone(), channels, &loaded).run());
        Loop { target, view, events, requests, _shutdown: shutdown }
    }

    /// A release of one service.
    pub fn ask_for(&self, digit: char) {
        self.want(target(digit, &[("main", digit, json!({}))]));
    }

    pub fn want(&self, target: DeviceTarget) {
        self.target.send_replace(Some(TargetInForce { target: Arc::new(target), source: "test".into() }));
    }

    pub async fn until(&mut self, what: &str, met: impl Fn(&View) -> bool) {
        self.within(Duration::from_secs(7200), what, met).await;
    }

    pub async fn within(&mut self, limit: Duration, what: &str, met: impl Fn(&View) -> bool) {
        let seen = tokio::time::timeout(limit, self.view.wait_for(|view| met(view))).await.is_ok();
        assert!(seen, "{what}: never; the last view: {:?}", self.view.borrow());
    }

    /// What was said since this was asked last.
    pub fn said(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| event.message).collect()
    }
}

pub(super) fn settled_on(digit: char) -> impl Fn(&View) -> bool {
    move |view| {
        view.phase == Phase::Settled && view.current.engine.containers.iter().any(|c| c.commit == format!("commit{digit}"))
    }
}
