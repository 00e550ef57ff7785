//! Everything the simulated engine holds, and how it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use holdfast_plan::container::{ContainerName, ContainerSpec, ImageConfig, Options};
use holdfast_plan::current::{Container, ContainerState, EngineState, Health, Image, Network, Volume};
use holdfast_plan::target::NetworkSpec;
use tokio::time::Instant;

use super::catalogue::{Catalogue, Program};
use super::observer::Mutation;
use crate::clock::Clock;
use crate::sandbox::faults::Faults;

/// Labels of what an agent made; the first is the present one.
const SUPERVISED: [&str; 2] = ["io.balena.supervised", "io.resin.supervised"];

/// A container.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Order of creation.
    pub sequence: u64,
    pub id: String,
    pub image_id: String,
    pub spec: Arc<ContainerSpec>,
    pub program: Program,
    pub created_ms: i64,
    pub started_ms: Option<i64>,
    pub finished_ms: Option<i64>,
    pub state: ContainerState,
    pub exit_code: i64,
    pub error: String,
    pub health: Option<Health>,
    pub restart_count: i64,
    /// Somebody stopped it through a call: `unless-stopped` leaves it so.
    pub stopped_by_hand: bool,
    pub due: Due,
}

/// What will happen to a container by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Due {
    /// It was told to stop and ends then.
    pub stop: Option<(Instant, i64)>,
    /// Its program ends then.
    pub exit: Option<(Instant, i64)>,
    /// The engine starts it again then.
    pub restart: Option<Instant>,
    /// Next verdicts of its health check, the last one first.
    pub health: Vec<(Instant, Health)>,
    /// How often it was started again in a row.
    pub attempts: u32,
    /// When it was started last.
    pub since: Option<Instant>,
}

/// An image.
#[derive(Clone, Debug)]
pub(super) struct HeldImage {
    pub shown: Image,
    pub config: Arc<ImageConfig>,
    pub layers: Vec<String>,
    pub program: Program,
}

/// The engine is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// Until then; `None` until it is called back.
    pub until: Option<Instant>,
}

pub(super) struct World {
    pub rng: Rng,
    pub clock: Arc<dyn Clock>,
    pub catalogue: Catalogue,
    pub faults: Faults,
    pub containers: BTreeMap<String, Held>,
    pub images: BTreeMap<String, HeldImage>,
    pub networks: BTreeMap<String, (u64, Network)>,
    pub volumes: BTreeMap<String, Volume>,
    /// What was written into volumes through copies: tar streams. Others hold what [`World::content`] makes up.
    pub contents: BTreeMap<String, Vec<u8>>,
    pub away: Option<Away>,
    /// Counts broken connections: event streams of an older number have ended.
    pub connection: u64,
    pub disk_free_bytes: Option<u64>,
    pub other_supervisor: Option<String>,
    pub dropped: Option<fn(&mut Options)>,
    /// What it adds to networks without being asked.
    pub added: Option<fn(&mut NetworkSpec)>,
    pub pulls_running: u32,
    sequence: u64,
    /// Changes that nobody was told of yet.
    pub changes: Vec<Mutation>,
}

impl World {
    pub fn new(rng: Rng, clock: Arc<dyn Clock>) -> World {
        World {
            rng,
            clock,
            catalogue: Catalogue::default(),
            faults: Faults::default(),
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            contents: BTreeMap::new(),
            away: None,
            connection: 0,
            disk_free_bytes: None,
            other_supervisor: None,
            dropped: None,
            added: None,
            pulls_running: 0,
            sequence: 0,
            changes: Vec::new(),
        }
    }

    /// 64 hex digits.
    pub fn new_id(&mut self) -> String {
        (0..4).map(|_| format!("{:016x}", self.rng.u64(..))).collect()
    }

    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// The engine's wall clock, ms since 1970; an unset clock counts from 1970.
    pub fn wall_ms(&self) -> i64 {
        let now = self.clock.now();
        now.wall_ms.unwrap_or(now.boot_ms)
    }

    /// Whether the engine is away at this moment.
    pub fn is_away(&mut self, now: Instant) -> bool {
        if self.away.is_some_and(|away| away.until.is_some_and(|until| until <= now)) {
            self.away = None;
        }
        self.away.is_some()
    }

    pub fn note(&mut self, mutation: Mutation) {
        self.changes.push(mutation);
    }

    /// Notes a change of a container that is there.
    pub fn note_container(&mut self, id: &str, mutation: fn(Box<Container>) -> Mutation) {
        if let Some(held) = self.containers.get(id) {
            let mutation = mutation(Box::new(self.shown(held)));
            self.note(mutation);
        }
    }

    /// A container by id, by name, or by the beginning of an id of at least 12 digits.
    pub fn find(&self, id: &str) -> Option<&Held> {
        self.containers.get(id).or_else(|| {
            let short = |held: &&Held| held.spec.name == id || (id.len() >= 12 && held.id.starts_with(id));
            self.containers.values().find(short)
        })
    }

    /// A container as `observe` shows it.
    pub fn shown(&self, held: &Held) -> Container {
        let labels = &held.spec.labels;
        let label = |key: &str| {
            let old = key.replace("balena", "resin");
            labels.get(key).or_else(|| labels.get(&old)).cloned()
        };
        let name = ContainerName::parse(&held.spec.name);
        Container {
            id: held.id.clone(),
            app_id: label("io.balena.app-id").and_then(|id| id.parse().ok()).unwrap_or_default(),
            app_uuid: label("io.balena.app-uuid"),
            service: label("io.balena.service-name").unwrap_or_default(),
            service_id: label("io.balena.service-id").and_then(|id| id.parse().ok()),
            commit: name.as_ref().map(|name| name.commit.clone()).unwrap_or_default(),
            release_id: name.as_ref().map(|name| name.release_id),
            cloud_image_id: name.as_ref().map(|name| name.image_id),
            handing_over: name.as_ref().is_some_and(|name| name.handing_over),
            image_id: held.image_id.clone(),
            created_ms: held.created_ms,
            started_ms: held.started_ms,
            finished_ms: held.finished_ms,
            state: held.state,
            exit_code: held.exit_code,
            error: held.error.clone(),
            health: held.health,
            restart_count: held.restart_count,
            spec: held.spec.clone(),
            image_config: self.images.get(&held.image_id).map(|image| image.config.clone()),
        }
    }

    /// What `observe` shows: supervised containers, newest first, and everything else.
    pub fn snapshot(&self) -> EngineState {
        let mut containers: Vec<&Held> = self.containers.values().filter(|held| supervised(&held.spec.labels)).collect();
        containers.sort_by_key(|held| std::cmp::Reverse(held.sequence));
        let mut networks: Vec<&(u64, Network)> =
            self.networks.values().filter(|(_, network)| supervised(&network.labels) || network.name == "supervisor0").collect();
        networks.sort_by_key(|(sequence, _)| *sequence);
        EngineState {
            containers: containers.into_iter().map(|held| self.shown(held)).collect(),
            images: self.images.values().map(|image| image.shown.clone()).collect(),
            networks: networks.into_iter().map(|(_, network)| network.clone()).collect(),
            volumes: self.volumes.values().filter(|volume| of_an_app(&volume.name)).cloned().collect(),
            other_supervisor: self.other_supervisor.clone(),
        }
    }
}

fn supervised(labels: &BTreeMap<String, String>) -> bool {
    SUPERVISED.iter().any(|label| labels.contains_key(*label))
}

/// `<appId>_<name>` (behaviour §5).
fn of_an_app(name: &str) -> bool {
    name.split_once('_').is_some_and(|(id, rest)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty())
}
