//! What the simulation itself knows: which targets were in force when, what containers have been, who marked a hand-over.
//! The checks go by this and never by what the agent believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::current::{Container, ContainerState, EngineState, Health};
use holdfast_plan::order::Task;
use holdfast_plan::target::ImageRef;
use tokio::time::Instant;

use super::wish::{AppWish, ReleaseWish, ServiceWish, Wish};

/// The longest a step may have been on its way when the target changed: two calls that are slow and hang.
pub(super) const LAG: Duration = Duration::from_secs(200);

/// The longest an order takes: its own limit, once more after a crash in the middle, and again.
const ORDER_LAG: Duration = Duration::from_secs(3_600);

/// What a container has been since it was made.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    pub started: bool,
    pub healthy: bool,
    pub completed: bool,
    app: u64,
    service: String,
    /// Commits of the releases whose names it has carried.
    commits: BTreeSet<String>,
    gone: Option<Instant>,
}

/// The book of one run.
pub(super) struct Ledger {
    wishes: Vec<(Instant, Arc<Wish>)>,
    releases: BTreeMap<String, ReleaseWish>,
    past: BTreeMap<String, Past>,
    /// When the new container of a service said that it has taken over.
    pub marks: BTreeMap<(u64, String), Instant>,
    /// How long volumes of departed apps are to be kept.
    pub grace: Duration,
    /// Whether the agent's store holds a target.
    pub target_stored: bool,
    /// Whether the agent's data were lost once: it does not know any more which images it pulled.
    pub data_lost: bool,
    /// Until when a request with force may still have its effect.
    pub forced_until: Option<Instant>,
    /// When something was last asked for an app.
    orders: BTreeMap<u64, Instant>,
    /// When a service was last asked to be started.
    starts: BTreeMap<(u64, String), Instant>,
    /// Services that were asked to be stopped at some time.
    stops: BTreeSet<(u64, String)>,
    /// Purges asked for: of which app, when, and which volumes went for it.
    purges: Vec<(u64, Instant, BTreeSet<String>)>,
    /// Changes made by the agent so far.
    pub acts: u64,
    /// The agent crashes with the change that makes this zero.
    pub crash_in: Option<u32>,
}

impl Ledger {
    pub fn new(grace: Duration) -> Ledger {
        Ledger {
            wishes: Vec::new(),
            releases: BTreeMap::new(),
            past: BTreeMap::new(),
            marks: BTreeMap::new(),
            grace,
            target_stored: false,
            data_lost: false,
            forced_until: None,
            orders: BTreeMap::new(),
            starts: BTreeMap::new(),
            stops: BTreeSet::new(),
            purges: Vec::new(),
            acts: 0,
            crash_in: None,
        }
    }

    /// A target takes force.
    pub fn wished(&mut self, wish: Arc<Wish>) {
        for release in wish.apps.values().filter_map(|app| app.release.as_ref()) {
            self.releases.insert(release.commit.clone(), release.clone());
        }
        self.wishes.push((Instant::now(), wish));
        self.target_stored = true;
    }

    /// Something is asked for an app.
    pub fn ordered(&mut self, app: u64, task: &Task) {
        let now = Instant::now();
        self.orders.insert(app, now);
        match task {
            Task::Purge => self.purges.push((app, now, BTreeSet::new())),
            Task::Stop(service) => drop(self.stops.insert((app, service.clone()))),
            Task::Start(service) => drop(self.starts.insert((app, service.clone()), now)),
            _ => {}
        }
    }

    /// Whether something asked for an app may still be on its way.
    pub fn is_ordered(&self, app: u64) -> bool {
        self.orders.get(&app).is_some_and(|at| at.elapsed() < ORDER_LAG)
    }

    /// Whether anything was ever asked for an app.
    pub fn was_ordered(&self, app: u64) -> bool {
        self.orders.contains_key(&app)
    }

    /// Whether a service may be started because somebody said so.
    pub fn is_asked_to_start(&self, app: u64, service: &str) -> bool {
        self.starts.get(&(app, service.to_owned())).is_some_and(|at| at.elapsed() < ORDER_LAG)
    }

    /// Whether a service may be stopped because somebody said so: then it holds nobody up.
    pub fn is_asked_to_stop(&self, app: u64, service: &str) -> bool {
        self.stops.contains(&(app, service.to_owned()))
    }

    /// Whether a volume goes because of a purge: each takes a volume at most once.
    pub fn is_purged(&mut self, app: u64, name: &str) -> bool {
        let mut purges = self.purges.iter_mut().filter(|(of, at, _)| *of == app && at.elapsed() < ORDER_LAG);
        purges.any(|(_, _, gone)| gone.insert(name.to_owned()))
    }

    pub fn release(&self, commit: &str) -> Option<&ReleaseWish> {
        self.releases.get(commit)
    }

    pub fn app(&self, id: u64) -> Option<&AppWish> {
        self.wishes.last()?.1.apps.get(&id)
    }

    /// The release that the newest target asks for of an app.
    pub fn wanted_release(&self, app_uuid: &str) -> Option<&ReleaseWish> {
        self.wishes.last()?.1.apps.values().find(|app| app.uuid == app_uuid)?.release.as_ref()
    }

    /// For how long something has been so in every target without a break; `None` when it is not so now.
    pub fn holds_for(&self, so: impl Fn(&Wish) -> bool) -> Option<Duration> {
        let since = self.wishes.iter().rev().take_while(|(_, wish)| so(wish)).last()?.0;
        Some(since.elapsed())
    }

    /// Whether an app was out of every target for this long at some time that a step begun then could still be on its way.
    pub fn was_away(&self, app: u64, long: Duration) -> bool {
        let now = Instant::now();
        let mut away: Option<Instant> = None;
        for (at, wish) in &self.wishes {
            match (away, wish.apps.contains_key(&app)) {
                (Some(since), true) => {
                    if *at >= since + long && now < *at + LAG {
                        return true;
                    }
                    away = None;
                }
                (None, false) => away = Some(*at),
                _ => {}
            }
        }
        away.is_some_and(|since| now >= since + long)
    }

    /// Keeps up with the states of containers.
    pub fn seen(&mut self, container: &Container) {
        let past = self.past.entry(container.id.clone()).or_default();
        (past.app, past.service) = (container.app_id, container.service.clone());
        past.commits.insert(container.commit.clone());
        past.started |= container.state != ContainerState::Created;
        let up = container.state == ContainerState::Running;
        past.healthy |= up && container.health.is_none_or(|health| health == Health::Healthy);
        past.completed |= container.state == ContainerState::Exited && container.exit_code == 0;
    }

    /// Whether a container of a service, made for a release that the target has given up, was so not long ago. A step for
    /// that release that is slow may end after what it relied on has made way for the next one.
    pub fn was_so(&self, app: u64, service: &str, commit: &str, so: impl Fn(&Past) -> bool) -> bool {
        let is_wanted = self.app(app).and_then(|app| app.release.as_ref()).is_some_and(|release| release.commit == commit);
        let of_it = |past: &&Past| past.app == app && past.service == service && past.commits.contains(commit);
        !is_wanted && self.past.values().filter(of_it).any(|past| past.gone.is_some_and(|gone| gone.elapsed() < LAG) && so(past))
    }

    pub fn gone(&mut self, id: &str) {
        if let Some(past) = self.past.get_mut(id) {
            past.gone = Some(Instant::now());
        }
    }

    /// What a container has been; nothing for one that has been gone for too long to matter.
    pub fn past(&self, id: &str) -> Option<&Past> {
        self.past.get(id).filter(|past| past.gone.is_none_or(|gone| gone.elapsed() < LAG))
    }
}

/// The engine's id of what a reference means, under whatever name the content came.
pub(super) fn image_id<'a>(engine: &'a EngineState, reference: &str) -> Option<&'a str> {
    let wanted: ImageRef = reference.parse().ok()?;
    let is_it = |tag: &String| match &wanted.digest {
        Some(digest) => tag.ends_with(&format!("@{digest}")),
        None => *tag == wanted.to_string(),
    };
    let found = engine.images.iter().find(|image| image.tags.iter().chain(&image.digests).any(is_it));
    found.map(|image| image.id.as_str())
}

/// Whether a container is what a service asks for, as far as the simulation can tell by itself.
pub(super) fn fits(container: &Container, service: &ServiceWish, engine: &EngineState) -> bool {
    let variable = |name: &str| container.spec.environment.get(name).map(String::as_str);
    image_id(engine, &service.image) == Some(container.image_id.as_str())
        && variable("REVISION") == Some(service.revision.to_string().as_str())
}
