//! Sees every change of the engine as it is made, and checks the rules that must hold at every moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use holdfast_plan::current::{Container, ContainerState, EngineState, LockHolder};
use holdfast_plan::memory::Memory;
use holdfast_plan::target::ImageRef;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::{LAG, Ledger, Past, fits};
use super::story::Story;
use super::time::SimClock;
use super::verdict::Verdict;
use super::wish::{Contract, ServiceWish, Wish};
use crate::clock::Clock;
use crate::sandbox::engine::{Mutation, Observer};
use crate::sandbox::host::SimHost;
use crate::store::{InlineStore, Store};

/// The witness of one run.
pub(super) struct Witness {
    pub ledger: Mutex<Ledger>,
    pub crash: Notify,
    pub story: Arc<Story>,
    pub verdict: Arc<Verdict>,
    host: SimHost,
    disk: Mutex<Arc<InlineStore>>,
    clock: Arc<SimClock>,
    rng: Mutex<Rng>,
}

impl Witness {
    pub fn new(
        ledger: Ledger,
        story: Arc<Story>,
        verdict: Arc<Verdict>,
        host: SimHost,
        disk: Arc<InlineStore>,
        clock: Arc<SimClock>,
        rng: Rng,
    ) -> Witness {
        Witness {
            ledger: Mutex::new(ledger),
            crash: Notify::new(),
            story,
            verdict,
            host,
            disk: Mutex::new(disk),
            clock,
            rng: Mutex::new(rng),
        }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's store is another, empty one.
    pub fn data_lost(&self, disk: Arc<InlineStore>) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
        let mut ledger = self.ledger();
        ledger.target_stored = false;
        ledger.data_lost = true;
    }

    /// A new container beside an old one says some time that it has taken over, or never.
    fn expect_hand_over(self: &Arc<Self>, container: &Container, after: &EngineState) {
        if !others(container, after).any(|other| other.handing_over) {
            return;
        }
        let wait = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            match rng.u32(0..100) {
                0..20 => Duration::ZERO,
                20..75 => Duration::from_millis(rng.u64(0..20_000)),
                75..85 => Duration::from_millis(rng.u64(0..200_000)),
                _ => return,
            }
        };
        let (witness, app, service) = (self.clone(), container.app_id, container.service.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            witness.story.tell(|| format!("the new container of {app}/{service} says that it has taken over"));
            witness.ledger().marks.insert((app, service.clone()), Instant::now());
            witness.host.mark_handed_over(app, &service);
        });
    }
}

/// The witness as the engine knows it.
pub(super) struct Observing(pub Arc<Witness>);

impl Observer for Observing {
    fn changed(&self, mutation: &Mutation, after: &EngineState) {
        let witness = &self.0;
        witness.story.tell(|| format!("    engine: {}", words(mutation)));
        let mut ledger = witness.ledger();
        for broken in witness.check(&mut ledger, mutation, after) {
            witness.story.tell(|| format!("BROKEN: {broken}"));
            witness.verdict.accuse(broken);
        }
        keep_up(&mut ledger, mutation);
        let crash = is_act(mutation) && {
            witness.clock.pace.did(&words(mutation));
            ledger.acts += 1;
            ledger.crash_in = ledger.crash_in.map(|left| left.saturating_sub(1));
            ledger.crash_in == Some(0)
        };
        drop(ledger);
        if crash {
            witness.crash.notify_one();
        }
        if let Mutation::ContainerStarted(container) = mutation {
            witness.expect_hand_over(container, after);
        }
    }
}

fn keep_up(ledger: &mut Ledger, mutation: &Mutation) {
    match mutation {
        Mutation::ContainerRemoved(container) => ledger.gone(&container.id),
        _ => container_of(mutation).into_iter().for_each(|container| ledger.seen(container)),
    }
}

fn container_of(mutation: &Mutation) -> Option<&Container> {
    match mutation {
        Mutation::ContainerCreated(container)
        | Mutation::ContainerStarted(container)
        | Mutation::ContainerStopping(container)
        | Mutation::ContainerStopped(container)
        | Mutation::ContainerDied(container)
        | Mutation::ContainerRestarted(container)
        | Mutation::HealthChanged(container)
        | Mutation::ContainerRemoved(container)
        | Mutation::ContainerRenamed { container, .. }
        | Mutation::PolicyChanged { container, .. } => Some(container),
        _ => None,
    }
}

/// Whether only the agent does such a thing.
fn is_act(mutation: &Mutation) -> bool {
    !matches!(
        mutation,
        Mutation::ContainerStopped(_) | Mutation::ContainerDied(_) | Mutation::ContainerRestarted(_) | Mutation::HealthChanged(_)
    )
}

fn others<'a>(container: &'a Container, engine: &'a EngineState) -> impl Iterator<Item = &'a Container> {
    let same =
        |other: &&Container| other.app_id == container.app_id && other.service == container.service && other.id != container.id;
    engine.containers.iter().filter(same)
}

impl Witness {
    /// Every rule this change breaks.
    fn check(&self, ledger: &mut Ledger, mutation: &Mutation, after: &EngineState) -> Vec<String> {
        if !is_act(mutation) {
            return Vec::new();
        }
        let mut broken = Vec::new();
        if !ledger.target_stored {
            broken.push(format!("an agent that never stored a target did something: {}", words(mutation)));
        }
        match mutation {
            Mutation::ContainerStopping(container) => {
                broken.extend(self.stopping(ledger, container, after));
            }
            Mutation::ContainerRemoved(container) if container.state != ContainerState::Dead => {
                broken.extend(self.foreign_lock(ledger, container, after, "removed"));
            }
            Mutation::ContainerCreated(container) => broken.extend(self.created(container, after)),
            Mutation::ContainerStarted(container) => broken.extend(started(ledger, container, after)),
            Mutation::VolumeRemoved { name } => broken.extend(volume_removed(ledger, name)),
            Mutation::ImageRemoved { reference, id, gone } => {
                broken.extend(self.image_removed(ledger, reference, id, *gone, after));
            }
            _ => {}
        }
        broken.extend(container_of(mutation).and_then(|container| left_alone(ledger, container, mutation)));
        broken
    }

    /// What is stopped is stopped under the agent's own lock, but for the end of a hand-over that was agreed on.
    fn stopping(&self, ledger: &Ledger, container: &Container, after: &EngineState) -> Option<String> {
        if let Some(broken) = self.foreign_lock(ledger, container, after, "stopped") {
            return Some(broken);
        }
        if others(container, after).next().is_none() {
            let broken = super::stay::stopped_first(ledger, || self.memory(), container, after);
            if broken.is_some() {
                return broken;
            }
        }
        let locks = self.host.snapshot();
        let ours = locks.all_ours(container.app_id, [container.service.as_str()]);
        if ours || self.has_handed_over(ledger, container, after) {
            return None;
        }
        if let Some(new) = successor(container, after) {
            return Some(format!(
                "{} was stopped before {} took over and before its time was up",
                container.spec.name, new.spec.name
            ));
        }
        Some(format!("{} was stopped without its update lock", container.spec.name))
    }

    /// What the agent has stored.
    fn memory(&self) -> Option<Memory> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(disk.load("", "").now_or_never()?.ok()?.memory)
    }

    fn foreign_lock(&self, ledger: &Ledger, container: &Container, after: &EngineState, what: &str) -> Option<String> {
        let locks = self.host.snapshot();
        let held = matches!(locks.holder(container.app_id, &container.service), Some(LockHolder::Application { .. }));
        let agreed = || container.handing_over && self.marked(ledger, container, after);
        (held && !agreed()).then(|| format!("{} was {what} under an update lock of the application", container.spec.name))
    }

    /// Whether the new container has said so since it was started.
    fn marked(&self, ledger: &Ledger, old: &Container, after: &EngineState) -> bool {
        let Some(new) = successor(old, after) else { return false };
        let marked = ledger.marks.get(&(old.app_id, old.service.clone()));
        let age_ms = self.clock.now().machine_ms - new.created_ms;
        marked.is_some_and(|at| i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX) <= age_ms + 1)
    }

    fn has_handed_over(&self, ledger: &Ledger, old: &Container, after: &EngineState) -> bool {
        old.handing_over && self.marked(ledger, old, after)
    }

    /// One container a service; two in a hand-over. Made under the locks, but for a hand-over.
    fn created(&self, container: &Container, after: &EngineState) -> Option<String> {
        let name = &container.spec.name;
        let beside: Vec<&Container> = others(container, after).collect();
        match beside.as_slice() {
            [] => {
                let ours = self.host.snapshot().all_ours(container.app_id, [container.service.as_str()]);
                (!ours).then(|| format!("{name} was made without the update lock of its service"))
            }
            [old] if old.handing_over => None,
            _ => Some(format!("{name} was made beside {} other container(s) of its service", beside.len())),
        }
    }

    fn image_removed(&self, ledger: &Ledger, reference: &str, id: &str, gone: bool, after: &EngineState) -> Option<String> {
        if let Some(user) = after.containers.iter().find(|container| gone && container.image_id == id) {
            return Some(format!("image {reference} was removed though {} uses it", user.spec.name));
        }
        let wanted = |wish: &Wish| {
            // Of a refused app the agent knows only what it recorded.
            let apps = wish.apps.values().filter(|app| !app.spoilt);
            let releases = apps.filter_map(|app| app.release.as_ref());
            releases.flat_map(|release| release.services.values()).any(|service| names(service, reference, gone))
        };
        if ledger.holds_for(wanted).is_some_and(|long| long > LAG) {
            return Some(format!("image {reference} was removed though the target needs it"));
        }
        let memory = self.memory()?;
        for (uuid, trial) in &memory.trials {
            let fallback = memory.settled.get(uuid).and_then(|settled| ledger.release(&settled.commit));
            // What comes after a service says whether its image is given up first: on trial, or by a target since then.
            let tried = ledger.release(&trial.commit);
            let wanted = ledger.wanted_release(uuid);
            let needed = |(name, service): (&String, &ServiceWish)| {
                let mut after = [tried, wanted].into_iter().flatten().map(|next| next.services.get(name).unwrap_or(service));
                names(service, reference, gone) && after.all(|next| next.strategy != "delete-then-download")
            };
            if fallback.is_some_and(|release| release.services.iter().any(needed)) {
                return Some(format!(
                    "image {reference} was removed while release {} is on trial and may have to be taken back",
                    trial.commit
                ));
            }
        }
        None
    }
}

/// The container an old one hands over to.
fn successor<'a>(old: &'a Container, after: &'a EngineState) -> Option<&'a Container> {
    others(old, after).filter(|other| !other.handing_over).max_by_key(|other| other.created_ms)
}

/// Whether a service means this reference, or (when the whole image went) the same content.
fn names(service: &ServiceWish, reference: &str, gone: bool) -> bool {
    let (Ok(wanted), Ok(removed)) = (service.image.parse::<ImageRef>(), reference.parse::<ImageRef>()) else { return false };
    wanted == removed || (gone && wanted.same_image(&removed))
}

/// A first start comes after everything the service depends on.
fn started(ledger: &Ledger, container: &Container, after: &EngineState) -> Option<String> {
    let asked = ledger.is_asked_to_start(container.app_id, &container.service);
    if asked || ledger.past(&container.id).is_some_and(|past| past.started) {
        return None;
    }
    let release = ledger.release(&container.commit)?;
    let here = release.accepted()?;
    let service = here.get(container.service.as_str())?;
    let shared = service.shares_network_of.iter().map(|name| (name.as_str(), "service_started"));
    let conditions = service.depends_on.iter().map(|(name, condition)| (name.as_str(), *condition)).chain(shared);
    for (name, condition) in conditions {
        let Some(dependency) = here.get(name).filter(|dependency| dependency.running) else { continue };
        if ledger.is_asked_to_stop(container.app_id, name) {
            continue;
        }
        let of_it = |c: &&Container| c.app_id == container.app_id && c.service == name && fits(c, dependency, after);
        let has_met = |past: &Past| match condition {
            "service_healthy" => past.healthy,
            "service_completed_successfully" => past.completed,
            _ => past.started,
        };
        let met = |c: &Container| ledger.past(&c.id).is_some_and(has_met);
        let is_met = after.containers.iter().filter(of_it).any(met);
        if !is_met && !ledger.was_so(container.app_id, name, &container.commit, has_met) {
            return Some(format!("{} was started before {name} had reached {condition}", container.spec.name));
        }
    }
    None
}

/// A volume goes only when its app has been away for the grace period, when somebody forced a change of its definition, or
/// when somebody asked for it to be purged.
fn volume_removed(ledger: &mut Ledger, name: &str) -> Option<String> {
    let app: u64 = name.split_once('_')?.0.parse().ok()?;
    let forced = ledger.forced_until.is_some_and(|until| Instant::now() < until);
    if ledger.was_away(app, ledger.grace) || (forced && ledger.app(app).is_some()) || ledger.is_purged(app, name) {
        return None;
    }
    Some(format!("volume {name} was removed, its app is wanted or left less than {} s ago", ledger.grace.as_secs()))
}

/// An app that is refused, or whose contracts are not met, is left exactly as it is.
fn left_alone(ledger: &Ledger, container: &Container, mutation: &Mutation) -> Option<String> {
    let alone = |wish: &Wish| {
        let Some(app) = wish.apps.get(&container.app_id) else { return false };
        let unmet = |release: &super::wish::ReleaseWish| release.services.values().any(|s| s.contract == Contract::Unmet);
        app.release.as_ref().is_some_and(|release| app.spoilt || unmet(release))
    };
    let long = ledger.holds_for(alone)?;
    (long > LAG && !ledger.is_ordered(container.app_id))
        .then(|| format!("an app whose target is refused was not left as it is: {}", words(mutation)))
}

fn words(mutation: &Mutation) -> String {
    match mutation {
        Mutation::ImagePulled { reference, .. } => format!("pulled {reference}"),
        Mutation::ImageRemoved { reference, gone: true, .. } => format!("removed image {reference}"),
        Mutation::ImageRemoved { reference, gone: false, .. } => format!("untagged image {reference}"),
        Mutation::NetworkCreated { name, .. } => format!("made network {name}"),
        Mutation::NetworkRemoved { name, .. } => format!("removed network {name}"),
        Mutation::VolumeCreated { name } => format!("made volume {name}"),
        Mutation::VolumeRemoved { name } => format!("removed volume {name}"),
        Mutation::ContainerCreated(c) => format!("made {}", label(c)),
        Mutation::ContainerStarted(c) => format!("started {}", label(c)),
        Mutation::ContainerStopping(c) => format!("told {} to stop", label(c)),
        Mutation::ContainerStopped(c) => format!("stopped {} ({})", label(c), c.exit_code),
        Mutation::ContainerDied(c) => format!("{} ended ({})", label(c), c.exit_code),
        Mutation::ContainerRestarted(c) => format!("started {} again", label(c)),
        Mutation::HealthChanged(c) => format!("{} is now {:?}", label(c), c.health),
        Mutation::ContainerRemoved(c) => format!("removed {}", label(c)),
        Mutation::ContainerRenamed { container, from } => format!("renamed {from} to {}", label(container)),
        Mutation::PolicyChanged { container, .. } => {
            format!("changed the policy of {} to {:?}", label(container), container.spec.options.restart)
        }
    }
}

fn label(container: &Container) -> String {
    format!("{}/{}", container.app_id, container.spec.name)
}
