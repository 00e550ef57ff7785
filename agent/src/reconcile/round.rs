//! The loop itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_plan::contract;
use holdfast_plan::current::Current;
use holdfast_plan::facts::Facts;
use holdfast_plan::memory::{Memory, PowerChange, Remember, Trial};
use holdfast_plan::plan::{Action, Input, Plan, plan};
use holdfast_plan::policy::{Force, Policy};
use holdfast_plan::target::{AppId, AppUuid, DeviceTarget};
use tokio::time::{Instant, sleep_until};

use super::announce::Announcer;
use super::execute;
use super::failures::Cause;
use super::running::{Ended, Running};
use super::space::Disk;
use super::step_error::StepError;
use super::{Channels, Fault, Phase, Request, TargetInForce, Tools, View, failures, keys};
use crate::clock::until;
use crate::engine::{EngineError, EngineEvent, EngineInfo, Events};
use crate::events::Level;
use crate::host::{DeviceInfo, HostError};
use crate::policy::{self, Circumstances};
use crate::store::{Change, Loaded};

/// The slow full look that is the safety net under the engine's events.
const SLOW_LOOK: Duration = Duration::from_secs(300);
/// Events that come together are answered by one look.
const EVENT_PAUSE: Duration = Duration::from_millis(40);
/// Progress of pulls is shown at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);
/// How long running steps may take to end when the agent is asked to.
const DRAIN: Duration = Duration::from_secs(10);
/// An unused image that cannot be removed is left so long (behaviour §8.3).
const LEAVE_DANGLING: Duration = Duration::from_secs(3600);
/// First wait for an engine that is away; doubled up to the second.
const ENGINE_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// The loop and what it knows between rounds: nothing that an observation could tell.
pub struct Reconciler {
    pub(super) tools: Tools,
    channels: Channels,
    pub(super) announcer: Announcer,
    running: Running,
    events: Option<Events>,
    engine: Option<EngineInfo>,
    device: DeviceInfo,
    pub(super) memory: Memory,
    service_keys: BTreeMap<(AppId, String), String>,
    target: Option<TargetInForce>,
    force: Option<Force>,
    away: Option<Away>,
    store_error: Option<String>,
    host_error: Option<String>,
    pub(super) last: View,
    next_slow_look: Instant,
}

struct Away {
    error: String,
    since_boot_ms: i64,
    wait: Duration,
}

/// Why the loop woke up.
enum Woke {
    Look,
    Event,
    Ended(Box<Ended>),
    Request(Request),
    Target,
    EventsClosed,
    Progress,
    Tick,
    Shutdown,
}

impl Reconciler {
    /// Makes the loop from what was stored. The target in force comes through the channel.
    pub fn new(tools: Tools, channels: Channels, loaded: &Loaded) -> Reconciler {
        let service_keys = loaded.api_keys.iter().filter_map(|(owner, key)| Some((owner.clone()?, key.clone()))).collect();
        let announcer = Announcer::new(channels.events.clone());
        let target = channels.target.borrow().clone();
        Reconciler {
            tools,
            announcer,
            running: Running::new(),
            events: None,
            engine: None,
            device: DeviceInfo::default(),
            memory: loaded.memory.clone(),
            service_keys,
            target,
            channels,
            force: None,
            away: None,
            store_error: None,
            host_error: None,
            last: View::default(),
            next_slow_look: Instant::now(),
        }
    }

    /// Runs until the shutdown channel says so, then lets running steps end within [`DRAIN`]. Containers go on.
    pub async fn run(mut self) {
        let mut locks = self.tools.host.lock_changes();
        self.resume_trials().await;
        if let Some(problem) = self.tools.host.settle().await {
            self.announcer.say(Level::Error, None, None, problem, self.tools.clock.now().wall_ms);
        }
        let mut look_at = Some(Instant::now());
        loop {
            self.tick();
            #[cfg(feature = "sandbox")]
            super::stuck::if_asked_for().await;
            if look_at.is_some_and(|at| at <= Instant::now()) {
                look_at = self.round().await;
                continue;
            }
            match self.wait(&mut locks, look_at).await {
                Woke::Look => look_at = Some(Instant::now()),
                Woke::Event => {
                    let soon = Instant::now() + EVENT_PAUSE;
                    look_at = Some(look_at.map_or(soon, |at| at.min(soon)));
                }
                Woke::Ended(ended) => {
                    self.finish(*ended).await;
                    look_at = Some(Instant::now());
                }
                Woke::Request(request) => {
                    self.accept(request).await;
                    look_at = Some(Instant::now());
                }
                Woke::Target => {
                    self.accept_target();
                    look_at = Some(Instant::now());
                }
                Woke::EventsClosed => {
                    self.events = None;
                    look_at = Some(Instant::now());
                }
                Woke::Progress => self.publish_progress(),
                Woke::Tick => {}
                Woke::Shutdown => return self.drain().await,
            }
        }
    }

    /// A sign of life: what the watchdog and health go by. Also between calls of the engine, each of which may take its
    /// whole limit: an engine that is slow or away is not a stuck loop.
    fn tick(&self) {
        self.channels.tick.store(self.tools.clock.now().boot_ms, Ordering::Relaxed);
    }

    /// Trials go on after a start of the agent, with a clock of their own and one more start on record.
    async fn resume_trials(&mut self) {
        let since_boot_ms = Some(self.tools.clock.now().boot_ms);
        let resumed = |(app_uuid, trial): (&String, &Trial)| {
            let trial = Trial { starts: trial.starts.saturating_add(1), since_boot_ms, ..trial.clone() };
            Remember::BeginTrial { app_uuid: app_uuid.clone(), trial }
        };
        let changes: Vec<Remember> = self.memory.trials.iter().map(resumed).collect();
        if !changes.is_empty() {
            self.commit(changes.iter().cloned().map(Change::Remember).collect()).await;
            changes.iter().for_each(|change| self.memory.apply(change));
        }
    }

    /// Sleeps until something asks for attention.
    async fn wait(&mut self, locks: &mut crate::host::LockChanges, look_at: Option<Instant>) -> Woke {
        let tick = Instant::now() + self.channels.tick_every;
        let progressed = self.running.progressed();
        let next_event = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ends(&mut self.channels.shutdown) => Woke::Shutdown,
            ended = self.running.ended() => Woke::Ended(Box::new(ended)),
            request = self.channels.requests.recv() => request.map_or(Woke::Shutdown, Woke::Request),
            changed = self.channels.target.changed() => changed.map_or(Woke::Shutdown, |()| Woke::Target),
            Some(()) = locks.next() => Woke::Look,
            event = next_event => match event {
                Some(EngineEvent::Changed) => Woke::Event,
                Some(EngineEvent::Closed) | None => Woke::EventsClosed,
            },
            () = async { sleep_until(look_at.unwrap_or(tick)).await }, if look_at.is_some() => Woke::Look,
            () = async { progressed.notified().await; tokio::time::sleep(PROGRESS_PAUSE).await; } => Woke::Progress,
            () = sleep_until(tick) => Woke::Tick,
        }
    }

    async fn accept(&mut self, request: Request) {
        let (from, force, cancel) = match request {
            Request::Look { from, force, cancel } => (from, force, cancel),
            Request::Host { from, force, order, reply } => {
                let outcome = self.order(order, &from, force).await;
                // Whoever asked may have gone away.
                let _ = reply.send(outcome);
                return;
            }
        };
        if force {
            log::info!("update asked for by the {from} with force: update locks will be broken");
            self.force = Some(Force::Request { from });
        }
        if cancel {
            self.running.cancel_pulls();
        }
        // Somebody wants it now: what waits for its next try is tried at once.
        self.memory.failures.values_mut().for_each(|failure| failure.retry_boot_ms = 0);
    }

    fn accept_target(&mut self) {
        self.target = self.channels.target.borrow_and_update().clone();
        self.memory.target_stored = self.target.is_some();
        self.memory.failures.clear();
        self.announcer.new_target();
        self.force = None;
    }

    /// One round. Returns when the next look is due without an event.
    async fn round(&mut self) -> Option<Instant> {
        let Some(current) = self.observe().await else {
            let wait = self.away.as_ref().map_or(ENGINE_RETRY.0, |away| away.wait);
            return Some(Instant::now() + wait);
        };
        let target = self.target.as_ref().map_or_else(Arc::default, |t| t.target.clone());
        self.provide_keys(&target, &current).await;
        let facts = self.facts();
        let grace_ms = i64::try_from(self.tools.volume_grace.as_millis()).unwrap_or(i64::MAX);
        let now = self.tools.clock.now();
        let policy = policy::evaluate(&Circumstances {
            config: &target.config,
            request: self.force.as_ref(),
            engine: &current.engine,
            memory: &self.memory,
            volume_grace_ms: grace_ms,
            clean_dangling: self.tools.clean_dangling,
            zone: &self.tools.zone,
            now,
        });
        let plan = plan(&Input { current: &current, target: &target, memory: &self.memory, facts: &facts, policy: &policy, now });
        failures::prune(&mut self.memory.failures, &plan, now.boot_ms, |key| self.running.has(key));
        self.announcer.waits(&plan, now.wall_ms);
        let data_root = self.engine.as_ref().and_then(|engine| engine.data_root.clone());
        let disk = Disk { data_root, watermark: policy.disk_watermark };
        let acted = self.start(&plan, &disk).await;
        if plan.is_settled() && self.running.is_empty() {
            self.force = None;
        }
        let wake = plan.wake_boot_ms.map(|at| Instant::now() + until(at, now));
        self.publish(current, target, facts, policy, plan);
        let due = self.announcer.next_due().map_or(self.next_slow_look, |due| due.min(self.next_slow_look));
        if acted { Some(Instant::now()) } else { Some(wake.map_or(due, |wake| wake.min(due))) }
    }

    /// Looks at the engine and the lock folders; `None` when the engine is away.
    async fn observe(&mut self) -> Option<Current> {
        if Instant::now() >= self.next_slow_look {
            self.tools.engine.forget_cache();
            self.device = self.tools.host.device_info().await;
            self.next_slow_look = Instant::now() + SLOW_LOOK;
        }
        if self.events.is_none() {
            match self.subscribe().await {
                Ok(()) => {}
                Err(error) => return self.engine_failed(&error),
            }
        }
        let engine = match self.tools.engine.observe().await {
            Ok(engine) => engine,
            Err(error) => return self.engine_failed(&error),
        };
        if self.away.take().is_some() {
            self.announcer.say(Level::Info, None, None, "the engine answers again".into(), self.tools.clock.now().wall_ms);
        }
        let locks = match self.tools.host.locks().await {
            Ok(locks) => {
                self.host_error = None;
                self.announcer.fault("update locks", None, self.tools.clock.now().wall_ms);
                locks
            }
            Err(error) => {
                // Not knowing who holds a lock, nothing may be stopped: wait for the folder to be readable again.
                let error = format!("update locks cannot be read, nothing is changed until they can: {error}");
                self.announcer.fault("update locks", Some(&error), self.tools.clock.now().wall_ms);
                self.host_error = Some(error);
                self.publish_fault();
                return None;
            }
        };
        let host = self.tools.host.state().await;
        Some(Current { engine, locks, host, in_flight: self.running.in_flight() })
    }

    async fn subscribe(&mut self) -> Result<(), EngineError> {
        self.engine = Some(self.tools.engine.describe().await?);
        self.tick();
        self.events = Some(self.tools.engine.events().await?);
        self.tick();
        self.tools.engine.forget_cache();
        Ok(())
    }

    fn engine_failed(&mut self, error: &EngineError) -> Option<Current> {
        let now = self.tools.clock.now();
        let wait = self.away.as_ref().map_or(ENGINE_RETRY.0, |away| (away.wait * 2).min(ENGINE_RETRY.1));
        let since_boot_ms = self.away.as_ref().map_or(now.boot_ms, |away| away.since_boot_ms);
        if self.away.is_none() {
            let message = format!("{error}; containers go on, the agent keeps trying");
            self.announcer.say(Level::Error, None, None, message, now.wall_ms);
        }
        self.events = None;
        self.away = Some(Away { error: error.to_string(), since_boot_ms, wait });
        self.publish_fault();
        None
    }

    async fn provide_keys(&mut self, target: &DeviceTarget, current: &Current) {
        let new = keys::missing(target, &current.engine, &self.service_keys, keys::generate);
        if new.is_empty() {
            return;
        }
        if self.commit(keys::changes(&new)).await {
            self.service_keys.extend(new);
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            uuid: self.tools.uuid.clone(),
            device_name: self.target.as_ref().map(|t| t.target.name.clone()),
            device_type: self.device.device_type.clone(),
            device_arch: self.device.device_arch.clone(),
            os_version: self.device.os_version.clone(),
            os_slug: self.device.os_slug.clone(),
            os_semver: self.device.os_semver.clone(),
            kernel_version: self.device.kernel_version.clone(),
            l4t_version: self.device.l4t_version.clone(),
            board_rev: self.device.board_rev.clone(),
            hostname: self.device.hostname.clone(),
            api_endpoint: self.tools.api_endpoint.clone(),
            device_api_key: self.tools.device_api_key.clone(),
            api_port: self.tools.api_port,
            service_keys: self.service_keys.clone(),
            lock_root: self.tools.lock_root.clone(),
            engine_socket: self.engine.as_ref().and_then(|e| e.address.strip_prefix("unix://")).map(str::to_owned),
            host_paths: self.device.host_paths.clone(),
            boot_time_ms: self.device.boot_time_ms,
        }
    }

    /// Starts the plan's steps. Returns whether memory changed, so that another look is due at once.
    async fn start(&mut self, plan: &Plan, disk: &Disk) -> bool {
        for key in &plan.cancel {
            self.running.cancel(key);
        }
        let wall_ms = self.tools.clock.now().wall_ms;
        let mut remember = Vec::new();
        for step in &plan.steps {
            match execute::memory_only(&step.action) {
                Some(change) => remember.push(change),
                None => {
                    self.announcer.begins(step, wall_ms);
                    self.running.start(step.clone(), &self.tools, disk);
                }
            }
        }
        if remember.is_empty() {
            return false;
        }
        let changes = remember.iter().cloned().map(Change::Remember).collect();
        if self.commit(changes).await {
            remember.iter().for_each(|change| self.memory.apply(change));
            plan.steps.iter().for_each(|step| self.announcer.remembered(step, wall_ms));
            return true;
        }
        // The store says why; what was to be remembered is tried again like any failed step.
        let error = self.store_error.clone().unwrap_or_default();
        let now = self.tools.clock.now().boot_ms;
        for step in plan.steps.iter().filter(|step| execute::memory_only(&step.action).is_some()) {
            let cause = Cause { error: error.clone(), no_space: false };
            failures::record(&mut self.memory.failures, &step.key(), cause, now, self.tools.max_retry);
        }
        true
    }

    async fn commit(&mut self, changes: Vec<Change>) -> bool {
        let wall_ms = self.tools.clock.now().wall_ms;
        match self.tools.store.commit(changes).await {
            Ok(()) => {
                self.announcer.fault("database", None, wall_ms);
                self.store_error = None;
                true
            }
            Err(error) => {
                let message = format!("{error}; containers go on, the agent keeps trying");
                self.announcer.fault("database", Some(&message), wall_ms);
                self.store_error = Some(error.to_string());
                false
            }
        }
    }

    /// Takes note of a step that ended.
    async fn finish(&mut self, ended: Ended) {
        let Ended { step, key, outcome } = ended;
        let now = self.tools.clock.now();
        match outcome {
            None => self.announcer.given_up(&step, now.wall_ms),
            Some(Ok(done)) => {
                self.memory.failures.remove(&key);
                self.announcer.done(&step, now.wall_ms);
                let removed = matches!(step.action, Action::RemoveImage { .. } | Action::RemoveDangling { .. });
                if removed && !self.running.removes_images() {
                    failures::room_was_made(&mut self.memory.failures);
                }
                if step.action == Action::Reboot {
                    self.goes_down(PowerChange::Reboot);
                }
                for lock in &done.broken {
                    let message = format!("the application's update lock {} was broken", lock.file);
                    self.announcer.say(Level::Warning, step.app.as_deref(), Some(&lock.service), message, now.wall_ms);
                }
                let changes = done.remember.iter().cloned().map(Change::Remember).collect::<Vec<_>>();
                // What cannot be recorded now is recorded by a later round: the object itself is there to be seen.
                if !changes.is_empty() && self.commit(changes).await {
                    done.remember.iter().for_each(|change| self.memory.apply(change));
                }
            }
            Some(Err(error)) => self.failed(&step, &key, &error),
        }
    }

    fn failed(&mut self, step: &holdfast_plan::plan::Step, key: &str, error: &StepError) {
        let now = self.tools.clock.now();
        match error {
            // The whole engine is away: that is not this step's failure.
            StepError::Engine(error) if error.is_unreachable() => log::warn!("{key}: {error}"),
            StepError::Host(HostError::LockHeld { .. }) => {
                // The application was quicker. The next look sees its lock; a short pause keeps a disagreement from spinning.
                self.announcer.failed(step, &error.to_string(), 1_000, now.wall_ms);
                let retry_boot_ms = now.boot_ms + 1_000;
                let failure =
                    holdfast_plan::memory::Failure { error: error.to_string(), count: 1, retry_boot_ms, no_space: false };
                self.memory.failures.insert(key.to_owned(), failure);
            }
            error => {
                let cause = Cause { error: error.to_string(), no_space: error.is_no_space() };
                if matches!(step.action, Action::RemoveDangling { .. }) {
                    failures::leave(&mut self.memory.failures, key, cause, now.boot_ms, LEAVE_DANGLING);
                } else {
                    failures::record(&mut self.memory.failures, key, cause, now.boot_ms, self.tools.max_retry);
                }
                let retry_in = self.memory.failures.get(key).map_or(0, |failure| failure.retry_boot_ms - now.boot_ms);
                self.announcer.failed(step, &error.to_string(), retry_in, now.wall_ms);
            }
        }
    }

    fn publish(&mut self, current: Current, target: Arc<DeviceTarget>, facts: Facts, policy: Policy, plan: Plan) {
        let phase = match (&policy.watch_only, &self.target) {
            (Some(why), _) => Phase::WatchOnly { why: why.clone() },
            (None, None) => Phase::NoTarget,
            _ if !self.running.is_empty() || !plan.steps.is_empty() => Phase::Applying,
            _ if plan.is_settled() => Phase::Settled,
            _ => Phase::Waiting,
        };
        self.last = View {
            phase,
            engine: self.engine.clone(),
            target: self.target.as_ref().map(|_| target),
            current: Arc::new(current),
            memory: Arc::new(self.memory.clone()),
            rejected: Arc::new(self.rejected(&facts)),
            facts: Arc::new(facts),
            policy: Arc::new(policy),
            plan: Arc::new(plan),
            device: Arc::new(self.device.clone()),
            doing: self.running.doing(),
            faults: self.faults(),
        };
        self.send();
    }

    /// Apps whose wanted release does not run here.
    fn rejected(&self, facts: &Facts) -> BTreeSet<AppUuid> {
        let apps = self.target.iter().flat_map(|target| target.target.apps.values()).filter(|app| {
            let wanted = app.release.as_ref().map(|release| &release.commit);
            let failed = self.memory.rejected.get(&app.uuid).is_some_and(|rejected| Some(&rejected.commit) == wanted);
            failed || matches!(contract::judge(app, facts), contract::Verdict::Rejected(_))
        });
        apps.map(|app| app.uuid.clone()).collect()
    }

    /// Shows that something is wrong beside what was last seen.
    fn publish_fault(&mut self) {
        if let Some(away) = &self.away {
            self.last.phase = Phase::EngineAway { error: away.error.clone(), since_boot_ms: away.since_boot_ms };
        }
        self.last.target = self.target.as_ref().map(|t| t.target.clone());
        self.last.doing = self.running.doing();
        self.last.faults = self.faults();
        self.send();
    }

    fn publish_progress(&mut self) {
        self.last.doing = self.running.doing();
        self.send();
    }

    fn send(&self) {
        self.channels.view.send_replace(Arc::new(self.last.clone()));
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |subject: &str, message: &Option<String>| {
            message.clone().map(|message| Fault { subject: subject.to_owned(), message })
        };
        let engine = self.away.as_ref().map(|away| format!("{}; containers go on, the agent keeps trying", away.error));
        [fault("engine", &engine), fault("database", &self.store_error), fault("update locks", &self.host_error)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Lets running steps end; pulls are given up, they cost nothing to begin again.
    async fn drain(mut self) {
        self.running.cancel_pulls();
        let deadline = Instant::now() + DRAIN;
        while !self.running.is_empty() {
            tokio::select! {
                ended = self.running.ended() => self.finish(ended).await,
                () = sleep_until(deadline) => {
                    log::warn!("ending with {} step(s) unfinished; the next start takes them up", self.running.doing().len());
                    return;
                }
            }
        }
    }
}

/// Ends when the agent is asked to end, or when nobody is left who could ask.
async fn ends(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that the sender is gone: the same.
    let _ = shutdown.wait_for(|down| *down).await;
}
