//! An engine in memory that behaves like Docker at API 1.41, quirks that planning meets included.
//!
//! Nothing runs in the background: what is due happens when somebody calls or listens, with time taken from tokio (so it
//! may be paused) and every random choice from one seeded source. The same calls at the same times give the same answers.

mod calls;
mod catalogue;
mod containers;
mod gate;
mod images;
mod logs;
mod merge;
mod networks;
mod observer;
mod registry;
mod timeline;
mod usage;
mod volumes;
mod world;

pub use catalogue::{Catalogue, Entry, Program};
pub use merge::effective;
pub use observer::{Mutation, Observer};
pub use timeline::Outage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use holdfast_plan::container::Options;
use holdfast_plan::current::{EngineState, Image, Volume};
use holdfast_plan::target::NetworkSpec;
use tokio::sync::watch;
use tokio::time::Instant;

use super::faults::Faults;
use crate::clock::Clock;
use crate::engine::Result;
use world::World;

/// What the simulated engine calls its address.
pub const ADDRESS: &str = "sim:";

/// How long a pull takes where a person watches.
const WATCHED_PULL: Duration = Duration::from_millis(1500);

/// The same for images of repositories below `slow/`.
const SLOW_PULL: Duration = Duration::from_secs(30);

/// How a pull from repositories below `missing/` fails.
const MISSING: &str = "manifest unknown: the registry has no such image";

/// The engine. Clones are the same engine: a suite keeps one to turn its knobs.
#[derive(Clone)]
pub struct SimEngine {
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    observer: Option<Arc<dyn Observer>>,
}

impl SimEngine {
    /// An empty engine. `rng` decides over ids, latencies and random faults.
    pub fn new(rng: Rng, clock: Arc<dyn Clock>) -> SimEngine {
        SimEngine::build(rng, clock, None)
    }

    /// An empty engine that tells somebody of every change.
    pub fn observed(rng: Rng, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> SimEngine {
        SimEngine::build(rng, clock, Some(observer))
    }

    /// The engine behind `--engine sim:`: empty at start, its content lives as long as the process. Pulls take long enough
    /// to be seen; those of repositories below `slow/` take long, and those below `missing/` fail.
    pub fn for_agent(clock: Arc<dyn Clock>) -> SimEngine {
        let engine = SimEngine::new(Rng::new(), clock);
        engine.catalogue(|catalogue| {
            let watched = Entry { duration: WATCHED_PULL, ..Entry::default() };
            catalogue.set_by_part("/slow/", Entry { duration: SLOW_PULL, ..watched.clone() });
            catalogue.set_by_part("/missing/", Entry { failure: Some(MISSING.to_owned()), ..watched.clone() });
            catalogue.set_others(Some(watched));
        });
        engine
    }

    fn build(rng: Rng, clock: Arc<dyn Clock>, observer: Option<Arc<dyn Observer>>) -> SimEngine {
        let world = Mutex::new(World::new(rng, clock));
        SimEngine { shared: Arc::new(Shared { world, changed: watch::Sender::new(0), observer }) }
    }

    /// Works on the world as it is now: what is due happens first, and everybody is told what changed.
    fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let (result, changes) = {
            let mut world = self.shared.world.lock().unwrap_or_else(PoisonError::into_inner);
            world.advance(Instant::now());
            let mut told = self.take_changes(&mut world);
            let connection = world.connection;
            let result = work(&mut world);
            told.extend(self.take_changes(&mut world));
            if !told.is_empty() || world.connection != connection {
                self.shared.changed.send_modify(|n| *n += 1);
            }
            (result, told)
        };
        if let Some(observer) = &self.shared.observer {
            for (mutation, after) in &changes {
                observer.changed(mutation, after);
            }
        }
        result
    }

    /// Changes with the picture after them. Several at once share the last picture; it is made only for an observer.
    fn take_changes(&self, world: &mut World) -> Vec<(Mutation, EngineState)> {
        let changes = std::mem::take(&mut world.changes);
        if changes.is_empty() {
            return Vec::new();
        }
        let after = if self.shared.observer.is_some() { world.snapshot() } else { EngineState::default() };
        changes.into_iter().map(|mutation| (mutation, after.clone())).collect()
    }

    /// What `observe` would show, without a call: for checks.
    pub fn snapshot(&self) -> EngineState {
        self.with(|world| world.snapshot())
    }

    /// Changes what can be pulled.
    pub fn catalogue(&self, change: impl FnOnce(&mut Catalogue)) {
        self.with(|world| change(&mut world.catalogue));
    }

    /// Changes the plan of faults.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.with(|world| change(&mut world.faults));
    }

    /// Takes the engine down, for so long or until [`SimEngine::come_back`].
    pub fn go_down(&self, outage: Outage, lasting: Option<Duration>) {
        self.with(|world| world.go_down(outage, Instant::now(), lasting));
    }

    /// Ends an outage.
    pub fn come_back(&self) {
        self.with(|world| world.away = None);
    }

    /// The main process of a running container (by id or name) ends with this exit code; false when there is none.
    pub fn kill(&self, container: &str, exit_code: i64) -> bool {
        self.with(|world| {
            let Some(id) = world.find(container).filter(|held| held.runs()).map(|held| held.id.clone()) else { return false };
            world.end_container(&id, Instant::now(), exit_code, false);
            true
        })
    }

    /// Changes how a container's program behaves from its next start on; false when there is no such container.
    pub fn set_program(&self, container: &str, program: Program) -> bool {
        self.with(|world| {
            let Some(id) = world.find(container).map(|held| held.id.clone()) else { return false };
            world.containers.get_mut(&id).map(|held| held.program = program).is_some()
        })
    }

    /// So much room is left for images; `None` is without limit.
    pub fn set_disk_free(&self, bytes: Option<u64>) {
        self.with(|world| world.disk_free_bytes = bytes);
    }

    /// Containers are made without these settings from now on, and without a word about it: what a kernel that lacks them
    /// comes to.
    pub fn set_dropped(&self, dropped: Option<fn(&mut Options)>) {
        self.with(|world| world.dropped = dropped);
    }

    /// Networks made from now on show more than was asked for, as engines have it.
    pub fn set_added(&self, added: Option<fn(&mut NetworkSpec)>) {
        self.with(|world| world.added = added);
    }

    /// Lets a container of balena's own supervisor be seen.
    pub fn set_other_supervisor(&self, name: Option<&str>) {
        self.with(|world| world.other_supervisor = name.map(str::to_owned));
    }

    /// Puts a network there as somebody else made it, a second one of the same name too.
    ///
    /// # Errors
    /// When its addresses overlap with another network's.
    pub fn add_network(&self, name: &str, network: &NetworkSpec, labels: BTreeMap<String, String>) -> Result<()> {
        self.with(|world| world.add_network(name, network, labels))
    }

    /// Puts an image there as somebody else made it, a nameless one too.
    pub fn add_image(&self, image: Image) {
        self.with(|world| world.add_image(image));
    }

    /// Puts a volume there as somebody else made it.
    pub fn add_volume(&self, volume: Volume) {
        self.with(|world| world.add_volume(volume));
    }

    /// How many pulls are running.
    pub fn pulls_running(&self) -> u32 {
        self.with(|world| world.pulls_running)
    }
}

impl std::fmt::Debug for SimEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimEngine")
    }
}

#[cfg(test)]
mod tests;
