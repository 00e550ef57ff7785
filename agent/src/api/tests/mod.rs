//! The API over a real unix socket, against state that the tests make up.

mod access_tcp;
mod endpoints;
mod hostile;
mod pictures;
mod scopes;
mod streams;
#[cfg(feature = "sandbox")]
mod volumes;

pub(super) use access_tcp::called;
pub(super) use pictures::settled;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use holdfast_plan::policy::Now;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::caller::Caller;
use super::{ApiState, Identity, Limits, Streams, bind, serve};
use crate::client::{self, ClientError};
use crate::clock::Clock;
use crate::cloud::{CloudView, PollNow};
use crate::diagnose::Diagnosis;
use crate::engine::Engine;
use crate::events::{Event, Level};
use crate::host::DeviceInfo;
use crate::reconcile::{Request, View};
use crate::settings::Settings;
use crate::store::{BackupInfo, Change, Figures, Loaded, Snapshot, SnapshotKind, Store, StoreError, StoreHealth};
use crate::store::{EventPage, EventRange, StoredEvent};
use crate::store::{StoredTarget, Writes, Written, WrittenOnDay};
use crate::telemetry::Statistics;

pub(super) const UUID: &str = "0123456789abcdef0123456789abcdef";
pub(super) const CLOUD: &str = "https://api.example.com";
/// 2026-01-01T00:00:00Z, 400 seconds after boot.
pub(super) const NOW: Now = Now { wall_ms: Some(1_767_225_600_000), machine_ms: 1_767_225_600_000, boot_ms: 400_000 };

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Now {
        NOW
    }
}

struct FixedStore {
    open: bool,
    body: Option<&'static str>,
    time: Duration,
    endless_events: bool,
}

#[async_trait::async_trait]
impl Store for FixedStore {
    async fn load(&self, source: &str, uuid: &str) -> Result<Loaded, StoreError> {
        tokio::time::sleep(self.time).await;
        if !self.open {
            return Err(StoreError::Failed { path: "/data/database.sqlite".into(), message: "disk I/O error".into() });
        }
        let target = self.body.map(|body| StoredTarget {
            source: source.into(),
            uuid: uuid.into(),
            etag: Some("W/\"7\"".into()),
            body: body.into(),
        });
        Ok(Loaded { target, ..Loaded::default() })
    }

    async fn commit(&self, _changes: Vec<Change>) -> Result<(), StoreError> {
        panic!("the API never writes")
    }

    async fn health(&self) -> StoreHealth {
        let error = (!self.open).then(|| "disk I/O error".into());
        let newest_backup =
            self.open.then(|| BackupInfo { path: "/data/backups/b".into(), verified: true, ..BackupInfo::default() });
        let path = "/data/database.sqlite".into();
        StoreHealth { path, open: self.open, schema: 1, error, rows: 9, newest_backup, ..StoreHealth::default() }
    }

    async fn history(&self) -> Result<Vec<Snapshot>, StoreError> {
        let snapshot = |id, kind, state: &str| Snapshot {
            id,
            kind,
            taken_ms: NOW.wall_ms.map(|now| now - 5000),
            source: None,
            shortened: false,
            state: state.into(),
        };
        Ok(vec![snapshot(2, SnapshotKind::Current, "{\"apps\":{}}"), snapshot(1, SnapshotKind::Target, "{}")])
    }

    async fn events(&self, range: EventRange, most: usize) -> Result<EventPage, StoreError> {
        let EventRange::After(after) = range else { return Ok(EventPage::default()) };
        let stored = |id| StoredEvent { id, event: Event::note(Level::Info, "x".repeat(500), None), count: 1 };
        let more = if self.endless_events { i64::try_from(most).unwrap() } else { 0 };
        Ok(EventPage { events: (after + 1..=after + more).map(stored).collect(), gap: false })
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        let written = Written { times: 1, bytes: 8240, syncs: 1 };
        let by_cause: std::collections::BTreeMap<_, _> = [("target".to_owned(), written)].into();
        let days = vec![WrittenOnDay { day: Some(20_454), by_cause: by_cause.clone() }];
        let writes = Writes { bytes_counted: true, since_start: by_cause, days };
        Ok(Figures { pages: 12, free_pages: 2, rows: [("event".to_owned(), 9)].into(), writes, ..Figures::default() })
    }
}

/// What a test may set before it starts a server.
pub(super) struct Given {
    pub view: View,
    pub cloud: CloudView,
    pub last_tick_boot_ms: i64,
    pub store_open: bool,
    pub stored: Option<&'static str>,
    pub store_time: Duration,
    /// After every event there is another.
    pub endless_events: bool,
    pub limits: Limits,
    pub statistics: Statistics,
    pub engine: Arc<dyn Engine>,
    pub queue: usize,
    pub update: crate::slot::UpdateLink,
}

impl Default for Given {
    fn default() -> Self {
        Given {
            view: View::default(),
            cloud: CloudView { endpoint: CLOUD.into(), ..CloudView::default() },
            last_tick_boot_ms: NOW.boot_ms,
            store_open: true,
            stored: None,
            store_time: Duration::ZERO,
            endless_events: false,
            limits: Limits::default(),
            statistics: Statistics::new(Duration::from_secs(60), Duration::from_secs(86_400)),
            engine: Arc::new(crate::engine::docker::DockerEngine::connect("unix:///nowhere/engine.sock", None).unwrap()),
            queue: 1,
            update: crate::slot::UpdateLink::default(),
        }
    }
}

/// A running server.
pub(super) struct Served {
    pub socket: PathBuf,
    pub polls: mpsc::Receiver<PollNow>,
    pub requests: mpsc::Receiver<Request>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
    /// Ends answers without an end.
    pub streams: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Given {
    pub async fn serve(self) -> Served {
        self.serve_with_state().await.0
    }

    /// The same, with what its handlers see.
    pub async fn serve_with_state(self) -> (Served, ApiState) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("holdfast.sock");
        let bound = bind(&socket).await.unwrap();
        let (poll, polls) = mpsc::channel(self.queue);
        let (ask, requests) = mpsc::channel(self.queue);
        let device = DeviceInfo {
            os_version: Some("balenaOS 5".into()),
            device_type: Some("raspberrypi4-64".into()),
            device_arch: Some("aarch64".into()),
            ip_address: "10.0.0.7".into(),
            mac_address: "AA:BB:CC:DD:EE:FF".into(),
            ..DeviceInfo::default()
        };
        let identity = Identity { uuid: UUID.into(), target_source: CLOUD.into(), api_port: 48484, ..Identity::default() };
        let streams = watch::Sender::new(false);
        let state = ApiState {
            identity,
            view: watch::channel(Arc::new(View { device: Arc::new(device), ..self.view })).1,
            cloud: watch::channel(self.cloud).1,
            tick: Arc::new(AtomicI64::new(self.last_tick_boot_ms)),
            poll,
            requests: ask,
            local: mpsc::channel(1).0,
            tags: mpsc::channel(1).0,
            calls: None,
            host: Arc::new(crate::host::SystemHost::new(folder.path().to_owned(), "/locks".into(), None)),
            engine: self.engine,
            statistics: self.statistics,
            listening: watch::Sender::default().subscribe(),
            update: self.update,
            store: Arc::new(FixedStore {
                open: self.store_open,
                body: self.stored,
                time: self.store_time,
                endless_events: self.endless_events,
            }),
            clock: Arc::new(FixedClock),
            streams: Streams::new(streams.subscribe()),
            diagnosis: Arc::new(Diagnosis::new(Settings::default(), Vec::new(), Arc::new(FixedClock))),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(bound, state.clone(), self.limits, async {
            let _ = stopped.await;
        }));
        (Served { socket, polls, requests, stop: Some(stop), task, streams, _folder: folder }, state)
    }
}

impl Served {
    pub async fn get(&self, path: &str) -> Value {
        client::get(&self.socket, path).await.unwrap().json().unwrap()
    }

    /// Status and message of a refusal.
    pub async fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let outcome = match method {
            "GET" => client::get(&self.socket, path).await,
            _ => client::post(&self.socket, path, body.to_owned()).await,
        };
        match outcome {
            Err(ClientError::Refused { status, message }) => (status, message),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    /// Stops the server; panics when that takes longer than it may.
    pub async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(Duration::from_secs(5), &mut self.task).await.unwrap().unwrap();
    }
}
