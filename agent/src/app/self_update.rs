//! Looks after the agent's own version: proves itself when it is on trial, tells what became of the last attempt, and installs
//! the version that is asked for. What changes the slots is in `slot`; the next start through the launcher acts on it.

mod install;
#[cfg(test)]
#[cfg(feature = "sandbox")]
mod tests;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::target::{DeviceTarget, ImageRef};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::ended;
use super::wires::Wires;
use crate::clock::Clock;
use crate::cloud::CloudView;
use crate::engine::{Engine, RegistryAuth};
use crate::events::{Event, Level};
use crate::reconcile::{Phase, View};
use crate::settings::{Settings, format_duration};
use crate::slot::{Ask, Folder, Ground, Job, Launched, Shown, SlotError, Slots, TrialTime, UpdateLink, Wanted, own_sha256};
use crate::store::Store;
use install::Begun;

/// Finds the credentials of an image.
type AuthFor = Arc<dyn Fn(&ImageRef) -> Option<RegistryAuth> + Send + Sync>;

/// An attempt that failed is made again after so long at first, and at most, each time twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(6 * 3600);

/// A helper stops this agent within seconds. One that has not after so long does not get there.
const HELPER_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What it works with.
struct Links {
    pub store: Arc<dyn Store>,
    pub engine: Arc<dyn Engine>,
    /// The credentials an image is pulled with.
    pub auth_for: AuthFor,
    pub clock: Arc<dyn Clock>,
    pub view: watch::Receiver<Arc<View>>,
    pub cloud: watch::Receiver<CloudView>,
    pub events: broadcast::Sender<Event>,
    pub asks: mpsc::Receiver<Ask>,
    pub shown: watch::Sender<Arc<Shown>>,
    /// Hears that the agent is to be started anew, through the launcher.
    pub restart: Arc<Notify>,
    pub shutdown: watch::Receiver<bool>,
}

/// The keeper of the agent's own version.
struct SelfUpdate {
    ground: Ground,
    launched: Option<Launched>,
    deadline: Duration,
    /// What is left of that, if this is a trial.
    trial_time: Arc<TrialTime>,
    first_retry: Duration,
    links: Links,
    slots: Slots,
    /// The record cannot be read, or another version runs than the one it says.
    record_fault: Option<String>,
    /// The SHA-256 of what runs, or its image, once somebody wanted to know.
    own: Option<String>,
    /// A helper is about to stop this agent.
    handed_over: bool,
    target: Option<Arc<DeviceTarget>>,
    wanted: Option<Wanted>,
    failures: u32,
    next_try: Instant,
}

/// Starts what looks after the agent's own version: who is told that it is to be started anew, and what the API asks and shows.
pub(super) fn spawn(
    loops: &mut JoinSet<()>,
    wires: &Wires,
    settings: &Settings,
    tools: &crate::reconcile::Tools,
    trial_time: Arc<TrialTime>,
) -> (Arc<Notify>, UpdateLink) {
    let (ask, asks) = mpsc::channel(1);
    let (shown, restart) = (watch::Sender::new(Arc::default()), Arc::<Notify>::default());
    let update = UpdateLink { asks: ask, shown: shown.subscribe() };
    let links = Links {
        store: tools.store.clone(),
        engine: tools.engine.clone(),
        auth_for: tools.auth_for.clone(),
        clock: tools.clock.clone(),
        view: wires.view.subscribe(),
        cloud: wires.cloud_view.subscribe(),
        events: wires.events.clone(),
        asks,
        shown,
        restart: restart.clone(),
        shutdown: wires.shutdown.subscribe(),
    };
    let keeper = SelfUpdate::new(settings, Launched::from_environment(), trial_time, links);
    loops.spawn(keep(keeper));
    (restart, update)
}

/// Runs until the agent ends.
async fn keep(mut keeper: SelfUpdate) {
    let shutdown = keeper.links.shutdown.clone();
    tokio::select! {
        biased;
        () = ended(shutdown) => {}
        () = keeper.run() => {}
    }
}

impl SelfUpdate {
    fn new(settings: &Settings, launched: Option<Launched>, trial_time: Arc<TrialTime>, links: Links) -> SelfUpdate {
        SelfUpdate {
            ground: Ground {
                folder: Folder::of(&settings.data_dir),
                key: settings.update_key.clone(),
                host_root: settings.host_root.clone(),
                root_ca_pem: settings.cloud.root_ca_pem.clone(),
                turn: Arc::default(),
            },
            launched,
            deadline: settings.update_deadline,
            trial_time,
            // Whoever polls more often wants to see things sooner.
            first_retry: (settings.poll_interval / 15).clamp(Duration::from_secs(1), FIRST_RETRY),
            links,
            slots: Slots::default(),
            record_fault: None,
            own: None,
            handed_over: false,
            target: None,
            wanted: None,
            failures: 0,
            next_try: Instant::now(),
        }
    }

    async fn run(&mut self) {
        self.load();
        self.tell_news();
        if self.is_on_trial() && !self.prove().await {
            return self.start_anew().await;
        }
        self.well().await;
        loop {
            self.follow_target();
            let due = self.due();
            tokio::select! {
                changed = self.links.view.changed() => if changed.is_err() { return std::future::pending().await },
                ask = self.links.asks.recv() => match ask {
                    Some(Ask::Install(job)) => self.attempt(*job).await,
                    Some(Ask::Check) if self.handed_over => {}
                    Some(Ask::Check) => self.next_try = Instant::now(),
                    None => return std::future::pending().await,
                },
                () = sleep_until(self.next_try), if due.is_some() || self.handed_over => match due {
                    Some(job) => self.attempt(job).await,
                    None => self.helper_is_late(),
                }
            }
        }
    }

    fn load(&mut self) {
        self.record_fault = match self.ground.folder.load() {
            Ok(slots) => {
                self.slots = slots;
                self.passed_over()
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(fault) = self.record_fault.clone() {
            self.say(Level::Error, fault);
        }
        // Where the agent is a container a helper may still need it.
        if self.launched.is_some() && self.slots.trial.is_none() {
            self.ground.folder.remove_copy();
        }
        self.show(|shown| shown.fault = self.record_fault.clone());
    }

    /// What is to be said when another version runs than the one that is kept. One whose file is spoilt is kept no longer:
    /// asked for once more, it is installed once more.
    fn passed_over(&mut self) -> Option<String> {
        let launched = self.launched.filter(|_| self.slots.trial.is_none())?;
        let kept = self.slots.kept.clone().filter(|kept| launched != Launched::Slot(kept.slot))?;
        let why = match self.ground.folder.examine(&kept) {
            Ok(_) => "what holdfast launch logged says why".to_owned(),
            Err(why) => {
                let previous = self.slots.previous.take();
                self.slots.kept = previous.filter(|previous| self.ground.folder.examine(previous).is_ok());
                why
            }
        };
        let (runs, slot) = (crate::version::AGENT_VERSION, kept.slot.name());
        Some(format!("version {} in slot {slot} is kept, but version {runs} ({}) runs: {why}", kept.version, launched.name()))
    }

    /// Never returns: the agent ends.
    async fn start_anew(&self) {
        self.links.restart.notify_one();
        std::future::pending().await
    }

    /// Says what the launcher or the version before left to be said, once.
    fn tell_news(&mut self) {
        let Some(news) = self.slots.news.take() else { return };
        self.say(Level::Error, news);
        if let Err(error) = self.ground.folder.store(&self.slots) {
            log::warn!("{error}");
        }
    }

    /// Once the loop has looked, this start was none in vain.
    async fn well(&mut self) {
        let Some(after) = self.launched.and_then(|launched| self.slots.works(launched)) else { return };
        if self.links.view.wait_for(|view| view.phase != Phase::Starting).await.is_ok() {
            self.slots = after;
            if let Err(error) = self.ground.folder.store(&self.slots) {
                log::warn!("{error}");
            }
        }
    }

    /// What the target's variables ask for now.
    fn follow_target(&mut self) {
        let target = self.links.view.borrow().target.clone();
        let same = match (&target, &self.target) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        let read = target.as_ref().map_or(Ok(None), |target| Wanted::of(&target.config, self.launched.is_some()));
        self.target = target;
        let (wanted, fault) = match read {
            Ok(wanted) => (wanted, None),
            Err(fault) => (None, Some(fault)),
        };
        self.forget_failure(wanted.as_ref());
        if wanted != self.wanted {
            // A helper that has another order has not come to anything.
            (self.failures, self.next_try, self.handed_over) = (0, Instant::now(), false);
            self.show(|shown| (shown.doing, shown.error) = (None, None));
        }
        self.wanted = wanted;
        if self.wanted.is_none() && self.target.is_some() {
            self.ground.folder.remove_download();
        }
        let fault = fault.or_else(|| self.record_fault.clone());
        if self.links.shown.borrow().fault != fault {
            self.show(|shown| shown.fault = fault);
        }
    }

    /// A version that the variables asked for and that failed is of no interest once they ask for something else.
    fn forget_failure(&mut self, wanted: Option<&Wanted>) {
        let wish = wanted.map(Wanted::wish);
        let other = |failed: &crate::slot::Failed| failed.wish.is_some() && failed.wish != wish;
        if self.target.is_none() || !self.slots.failed.as_ref().is_some_and(other) {
            return;
        }
        self.slots.failed = None;
        if let Err(error) = self.ground.folder.store(&self.slots) {
            log::warn!("{error}");
        }
        self.show(|_| {});
    }

    /// What is to be installed because the variables ask for it.
    fn due(&mut self) -> Option<Job> {
        let wanted = self.wanted.clone().filter(|_| !self.handed_over)?;
        let sum = wanted.identity();
        if self.slots.failed.as_ref().is_some_and(|failed| failed.sha256 == sum && failed.wish == Some(wanted.wish())) {
            return None;
        }
        if matches!(wanted, Wanted::Image(_)) {
            return (self.own.as_deref() != Some(sum)).then(|| wanted.job());
        }
        let kept = self.slots.kept.as_ref().map(|kept| kept.sha256.clone());
        let runs = kept.or_else(|| self.own.get_or_insert_with(|| own_sha256().unwrap_or_default()).clone().into());
        (runs.as_deref() != Some(sum)).then(|| wanted.job())
    }

    /// Installs a version, unless the variables ask for another one meanwhile.
    async fn attempt(&mut self, job: Job) {
        let wish = job.wish.clone();
        self.show(|shown| (shown.doing, shown.error) = (Some("beginning".into()), None));
        let begun = {
            let changed = other_wish(self.links.view.clone(), wish.clone(), self.launched.is_some());
            let install = Box::pin(self.install(job));
            tokio::select! {
                begun = install => Some(begun),
                () = changed => None,
            }
        };
        match begun {
            None => self.show(|shown| shown.doing = None),
            // The helper stops this agent when it is time.
            Some(Ok(Begun::HandedOver)) => (self.handed_over, self.next_try) = (true, Instant::now() + HELPER_PATIENCE),
            // It runs already: that is not asked again.
            Some(Ok(Begun::Runs(image))) => {
                self.own = Some(image);
                let text = wish.is_none().then(|| "the agent was not replaced: it is what runs already".to_owned());
                self.show(|shown| (shown.doing, shown.error) = (None, text));
            }
            Some(Ok(Begun::OnTrial(slots))) => {
                self.slots = *slots;
                let version = self.slots.trial.as_ref().map(|trial| trial.binary.version.clone()).unwrap_or_default();
                self.show(|shown| (shown.doing, shown.error) = (Some("starting anew".into()), None));
                let own = crate::version::AGENT_VERSION;
                self.say(Level::Info, format!("agent {version} is started on trial; {own} stays to go back to"));
                self.start_anew().await;
            }
            Some(Err(error)) => self.failed(&error, wish.is_some()),
        }
    }

    fn helper_is_late(&mut self) {
        self.handed_over = false;
        let why =
            format!("its helper has not stopped this agent within {}; see the helper's log", format_duration(HELPER_PATIENCE));
        self.failed(&SlotError::of("self-update", why), self.wanted.is_some());
    }

    fn failed(&mut self, error: &SlotError, again: bool) {
        let mut text = format!("the agent was not replaced: {error}");
        if again {
            let wait = self.first_retry.saturating_mul(1 << self.failures.min(16)).min(LAST_RETRY);
            self.failures = self.failures.saturating_add(1);
            self.next_try = Instant::now() + wait;
            text.push_str(&format!("; tried again in {}", format_duration(wait)));
        }
        // The same as last time is said in the log only.
        if self.failures <= 1 {
            self.say(Level::Warning, text.clone());
        } else {
            log::warn!("{text}");
        }
        self.show(|shown| (shown.doing, shown.error) = (None, Some(text)));
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        self.links.shown.send_modify(|shown| {
            let mut next = Shown::clone(shown);
            next.slots = self.slots.clone();
            next.running = self.launched.map(|launched| launched.name().to_owned());
            change(&mut next);
            *shown = Arc::new(next);
        });
    }

    fn say(&self, level: Level, message: String) {
        match level {
            Level::Error => log::error!("{message}"),
            Level::Warning => log::warn!("{message}"),
            Level::Info => log::info!("{message}"),
        }
        let event = Event::note(level, message, self.links.clock.now().wall_ms);
        // Nobody listening is fine.
        let _ = self.links.events.send(event);
    }
}

/// Ends when the variables ask for something else than what is being installed because of them; never for a person's wish.
async fn other_wish(mut view: watch::Receiver<Arc<View>>, wish: Option<String>, launched: bool) {
    let Some(wish) = wish else { return std::future::pending().await };
    let other = |view: &Arc<View>| {
        let target = view.target.as_ref();
        target.is_some_and(|target| !matches!(Wanted::of(&target.config, launched), Ok(Some(wanted)) if wanted.wish() == wish))
    };
    if view.wait_for(other).await.is_err() {
        std::future::pending().await
    }
}
