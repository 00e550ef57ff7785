//! The simulated device: engine, host and store that outlive the agent, and the agent that comes and goes.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use fastrand::Rng;
use holdfast_plan::order::Task;
use holdfast_plan::target::parse;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::pace::Pace;
use super::slow_store::SlowStore;
use super::story::{Reader, Story};
use super::time::SimClock;
use super::verdict::Verdict;
use super::wish::{DEVICE, Wish};
use super::witness::{Observing, Witness};
use crate::clock::Clock;
use crate::policy::Zone;
use crate::reconcile::{Channels, Reconciler, Request, TargetInForce, Tools, View};
use crate::sandbox::engine::SimEngine;
use crate::sandbox::host::SimHost;
use crate::store::{Change, InlineStore, Loaded, Store, StoredTarget};

/// The cloud the targets come from.
const CLOUD: &str = "https://api.sim";

/// Longest wait between tries of a failed step.
const MAX_RETRY: Duration = Duration::from_secs(300);

/// How long the agent may take to end when it is asked to, as in the program.
const END_LIMIT: Duration = Duration::from_secs(12);

/// How often the loop ticks when nothing happens.
const TICK: Duration = Duration::from_secs(60);

/// One device with its agent.
pub(super) struct Device {
    pub engine: SimEngine,
    pub host: SimHost,
    pub witness: Arc<Witness>,
    pub clock: Arc<SimClock>,
    pub store: Arc<SlowStore>,
    pub wish: Arc<Wish>,
    disk: Arc<InlineStore>,
    rng: Rng,
    agent: Option<Agent>,
    grace: Duration,
}

/// The ends of one run of the agent.
struct Agent {
    task: JoinHandle<()>,
    teller: JoinHandle<()>,
    target: watch::Sender<Option<TargetInForce>>,
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<Arc<View>>,
    shutdown: watch::Sender<bool>,
}

impl Device {
    pub fn new(mut rng: Rng, reader: Option<Reader>) -> Device {
        let set_after = if rng.u8(0..10) == 0 { Duration::from_secs(rng.u64(1..2_000)) } else { Duration::ZERO };
        let grace = Duration::from_secs([0, 600, 604_800][rng.usize(0..3)]);
        let verdict = Arc::new(Verdict::default());
        let clock = Arc::new(SimClock::new(set_after, Arc::new(Pace::new(verdict.clone()))));
        let story = Arc::new(Story::new(clock.clone(), reader));
        let host = SimHost::new(rng.fork(), clock.clone());
        let disk = Arc::new(InlineStore::new());
        let ledger = Ledger::new(grace);
        let witness = Arc::new(Witness::new(ledger, story, verdict, host.clone(), disk.clone(), clock.clone(), rng.fork()));
        let engine = SimEngine::observed(rng.fork(), clock.clone(), Arc::new(Observing(witness.clone())));
        if rng.u8(0..3) == 0 {
            engine.set_dropped(Some(|options| options.oom_kill_disable = false));
            engine.set_added(Some(|network| drop(network.driver_opts.insert("ipv4".into(), "true".into()))));
        }
        let store = Arc::new(SlowStore::new(disk.clone(), clock.pace.clone(), rng.fork()));
        host.describe(|info| info.boot_time_ms = Some(clock.now().machine_ms));
        Device { engine, host, witness, clock, store, wish: Arc::default(), disk, rng, agent: None, grace }
    }

    pub fn tell(&self, line: impl FnOnce() -> String) {
        self.witness.story.tell(line);
    }

    fn tools(&self) -> Tools {
        Tools {
            engine: Arc::new(self.engine.clone()),
            host: Arc::new(self.host.clone()),
            store: self.store.clone(),
            clock: self.clock.clone(),
            registry: Arc::new(self.engine.clone()),
            auth_for: Arc::new(|_| None),
            data_root: None,
            clean_dangling: true,
            zone: Arc::new(Zone::default()),
            uuid: DEVICE.into(),
            api_endpoint: Some(CLOUD.into()),
            device_api_key: Some("key".into()),
            api_port: 48484,
            lock_root: "/tmp/balena-supervisor/services".into(),
            volume_grace: self.grace,
            max_retry: MAX_RETRY,
        }
    }

    /// What the store holds.
    pub async fn stored(&self) -> Loaded {
        self.disk.load(CLOUD, DEVICE).await.unwrap_or_default()
    }

    /// How often the store was written to.
    pub fn writes(&self) -> u64 {
        self.disk.writes()
    }

    /// Starts an agent from what the store holds.
    pub async fn start(&mut self) {
        if self.agent.is_some() {
            return;
        }
        self.tell(|| "the agent starts".into());
        let loaded = self.stored().await;
        let in_force = loaded.target.as_ref().and_then(|stored| in_force(&stored.body));
        let (requests, queue) = mpsc::channel(16);
        let (target, view) = (watch::Sender::new(in_force), watch::Sender::new(Arc::default()));
        let (events, shutdown) = (broadcast::Sender::new(256), watch::Sender::new(false));
        let channels = Channels {
            target: target.subscribe(),
            requests: queue,
            view: view.clone(),
            events: events.clone(),
            tick: Arc::new(AtomicI64::new(0)),
            tick_every: TICK,
            shutdown: shutdown.subscribe(),
        };
        let teller = tokio::spawn(tell_events(self.witness.clone(), events.subscribe()));
        let task = tokio::spawn(Reconciler::new(self.tools(), channels, &loaded).run());
        self.agent = Some(Agent { task, teller, target, requests, view: view.subscribe(), shutdown });
    }

    /// The agent is gone at once, in the middle of whatever it does.
    pub async fn crash(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        self.tell(|| "the agent crashes".into());
        agent.task.abort();
        agent.teller.abort();
        self.ended(agent.task.await);
    }

    /// The agent is asked to end and does.
    pub async fn stop(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        self.tell(|| "the agent is asked to end".into());
        agent.shutdown.send_replace(true);
        let mut task = agent.task;
        match tokio::time::timeout(END_LIMIT, &mut task).await {
            Ok(result) => self.ended(result),
            // It may hang in a call; the program ends all the same.
            Err(_) => task.abort(),
        }
        agent.teller.abort();
    }

    fn ended(&self, result: Result<(), tokio::task::JoinError>) {
        if let Err(error) = result
            && error.is_panic()
        {
            self.witness.verdict.accuse(format!("the agent panicked: {error}"));
        }
    }

    /// Whether an agent runs that should not have ended by itself.
    pub async fn look_after(&mut self) {
        if let Some(agent) = self.agent.take_if(|agent| agent.task.is_finished()) {
            self.witness.verdict.accuse("the agent ended by itself".into());
            self.ended(agent.task.await);
        }
    }

    /// The machine does what the agent asked of its power.
    pub async fn obey(&mut self) {
        if self.host.take_power().is_some() {
            self.crash().await;
            self.tell(|| "the machine starts again, as the agent asked".into());
            super::trouble::reboot(self, crate::sandbox::engine::Outage::Restart, Duration::from_secs(3));
            self.start().await;
        }
    }

    pub fn is_up(&self) -> bool {
        self.agent.is_some()
    }

    /// What the agent shows.
    pub fn view(&self) -> Option<Arc<View>> {
        self.agent.as_ref().map(|agent| agent.view.borrow().clone())
    }

    /// What the agent is about, for people.
    pub fn doing(&self) -> String {
        let view = self.view().unwrap_or_default();
        let steps: Vec<String> = view.plan.steps.iter().map(|step| format!("{} ({})", step.key(), step.why)).collect();
        let waiting: Vec<String> = view.plan.waiting.iter().map(|wait| format!("{}: {}", wait.app, wait.reason)).collect();
        let doing: Vec<String> = view.doing.iter().map(|doing| doing.step.key()).collect();
        format!("steps {steps:?}, running {doing:?}, waits {waiting:?}, faults {:?}", view.faults)
    }

    /// The cloud's new target is stored and then takes force, as the poll does it.
    pub async fn want(&mut self, wish: Wish) {
        let body = wish.document().to_string();
        self.engine.catalogue(|catalogue| wish.publish(catalogue));
        self.wish = Arc::new(wish);
        let target = StoredTarget { source: CLOUD.into(), uuid: DEVICE.into(), etag: None, body: body.clone() };
        if self.disk.commit(vec![Change::Target(target)]).await.is_err() {
            self.witness.verdict.accuse("the target could not be stored".into());
        }
        self.witness.ledger().wished(self.wish.clone());
        let Some(in_force) = in_force(&body) else {
            return self.witness.verdict.accuse(format!("the target cannot be read: {body}"));
        };
        self.tell(|| describe(&self.wish, &in_force));
        if let Some(agent) = &self.agent {
            agent.target.send_replace(Some(in_force));
        }
    }

    /// Asks the agent to look, maybe with force.
    pub fn ask(&self, force: bool, cancel: bool) {
        self.tell(|| format!("somebody asks for an update{}", if force { " with force" } else { "" }));
        if let Some(agent) = &self.agent {
            // A full queue is answered with "try again".
            let _ = agent.requests.try_send(Request::Look { from: "simulation".into(), force, cancel });
        }
    }

    /// Asks for something to be done to an app. Nobody waits for the answer: the client has gone away, or is refused.
    pub fn order(&self, app: u64, task: Task, force: bool) {
        self.tell(|| format!("a {} of {app} is asked for{}: {task:?}", task.word(), if force { " with force" } else { "" }));
        self.witness.ledger().ordered(app, &task);
        let Some(agent) = &self.agent else { return };
        let (reply, _) = oneshot::channel();
        let _ = agent.requests.try_send(Request::App { from: "simulation".into(), force, app, task, reply });
    }

    /// The agent's data folder is lost: the next agent finds nothing.
    pub async fn lose_data(&mut self) {
        self.crash().await;
        self.tell(|| "the agent's data is lost".into());
        self.disk = Arc::new(InlineStore::new());
        self.store = Arc::new(SlowStore::new(self.disk.clone(), self.clock.pace.clone(), self.rng.fork()));
        self.witness.data_lost(self.disk.clone());
    }
}

fn in_force(body: &str) -> Option<TargetInForce> {
    let document = serde_json::from_str(body).ok()?;
    let target = parse(&document, DEVICE).ok()?;
    Some(TargetInForce { target: Arc::new(target), source: CLOUD.into() })
}

fn describe(wish: &Wish, in_force: &TargetInForce) -> String {
    let app = |app: &super::wish::AppWish| {
        let release = app.release.as_ref().map_or_else(|| "no release".into(), |release| release.commit.clone());
        let services = app.release.iter().flat_map(|release| &release.services).map(|(name, service)| {
            let after: Vec<&str> = service.depends_on.keys().map(String::as_str).collect();
            format!(
                "{name}[{:?} {} r{}{}]",
                service.behaviour,
                service.strategy,
                service.revision,
                if after.is_empty() { String::new() } else { format!(" after {}", after.join("+")) }
            )
        });
        let services = services.collect::<Vec<_>>().join(" ");
        let refused = if in_force.target.refused.contains_key(&app.uuid) { " (refused)" } else { "" };
        format!("app {}{refused} at {release}: {services}", app.id)
    };
    format!("new target: {}", wish.apps.values().map(app).collect::<Vec<_>>().join("; "))
}

async fn tell_events(witness: Arc<Witness>, mut events: broadcast::Receiver<crate::events::Event>) {
    loop {
        match events.recv().await {
            Ok(event) => witness.story.tell(|| {
                let place = [event.app, event.service].into_iter().flatten().collect::<Vec<_>>().join("/");
                format!("  agent: {place}: {}", event.message)
            }),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
