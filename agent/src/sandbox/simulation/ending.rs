//! After the trouble: it must settle in bounded time, be what was asked for, and then stay so without doing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_plan::current::{Container, ContainerState, EngineState, Health, LockHolder};
use holdfast_plan::memory::Memory;
use holdfast_plan::plan::Reason;
use tokio::time::{Instant, sleep};

use super::device::Device;
use super::ledger::{fits, image_id};
use super::trouble;
use super::wish::{AppWish, Behaviour, ReleaseWish, ServiceWish};
use crate::reconcile::View;
use crate::sandbox::engine::Outage;

/// So much simulated time it may take to settle: the longest wait for a retry several times over, trials and hand-overs.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// How long it has to stay the same to count as settled.
const QUIET: Duration = Duration::from_secs(130);

/// How long nothing may happen afterwards.
const IDLE: Duration = Duration::from_secs(1_900);

/// Waits for the end and checks it.
pub(super) async fn settle(device: &mut Device) {
    if !settles(device).await {
        return;
    }
    if waits(device, |reason| matches!(reason, Reason::VolumeWouldLoseData { .. })) {
        trouble::ask(device, true, false);
        sleep(Duration::from_secs(5)).await;
        if !settles(device).await {
            return;
        }
    }
    if waits(device, |reason| matches!(reason, Reason::WaitingForReboot)) {
        device.crash().await;
        device.tell(|| "the machine reboots, as a service asked for".into());
        trouble::reboot(device, Outage::Restart, Duration::from_secs(3));
        device.start().await;
        if !settles(device).await {
            return;
        }
    }
    check(device).await;
    stays(device).await;
}

fn waits(device: &Device, what: impl Fn(&Reason) -> bool) -> bool {
    device.view().is_some_and(|view| view.plan.waiting.iter().any(|wait| what(&wait.reason)))
}

/// Waits until nothing has changed for a while and nothing is to be done.
async fn settles(device: &mut Device) -> bool {
    let end = Instant::now() + LIMIT;
    let (mut acts, mut since) = (device.witness.ledger().acts, Instant::now());
    while Instant::now() < end {
        sleep(Duration::from_secs(5)).await;
        device.look_after().await;
        device.obey().await;
        let now = device.witness.ledger().acts;
        if now != acts || !device.view().is_some_and(|view| at_rest(device, &view)) {
            (acts, since) = (now, Instant::now());
        } else if since.elapsed() >= QUIET {
            device.tell(|| "settled".into());
            return true;
        }
    }
    device.witness.verdict.accuse(format!("not settled {} s after all trouble ended: {}", LIMIT.as_secs(), device.doing()));
    false
}

/// Nothing runs, nothing is to be done, and what is waited for may last for ever.
fn at_rest(device: &Device, view: &View) -> bool {
    let lasting = |reason: &Reason| match reason {
        Reason::Refused { .. }
        | Reason::Rejected { .. }
        | Reason::ContractUnmet { .. }
        | Reason::VolumeWouldLoseData { .. }
        | Reason::WaitingForReboot
        | Reason::RebootLoop { .. }
        | Reason::WaitingForDependency { .. } => true,
        // The end of a grace period is not waited for.
        Reason::Retry { .. } => has_hopeless(device),
        reason => reason.is_note(),
    };
    view.doing.is_empty() && view.plan.steps.is_empty() && view.plan.waiting.iter().all(|wait| lasting(&wait.reason))
}

/// Whether a service cannot be started however often it is tried.
fn has_hopeless(device: &Device) -> bool {
    let releases = device.wish.apps.values().filter_map(|app| app.release.as_ref());
    releases.flat_map(|release| release.services.values()).any(|service| service.behaviour == Behaviour::CannotStart)
}

/// What stands at the end, seen with the simulation's own eyes.
struct End<'a> {
    device: &'a Device,
    engine: EngineState,
    memory: Memory,
    broken: Vec<String>,
}

async fn check(device: &Device) {
    let engine = device.engine.snapshot();
    let memory = device.stored().await.memory;
    let mut end = End { device, engine, memory, broken: Vec::new() };
    for app in device.wish.apps.values() {
        end.app(app);
    }
    end.nothing_else();
    for broken in end.broken {
        device.tell(|| format!("BROKEN: {broken}"));
        device.witness.verdict.accuse(format!("at the end: {broken}"));
    }
}

impl End<'_> {
    fn wrong(&mut self, what: String) {
        self.broken.push(what);
    }

    /// An app runs what the target asks for, or the release before a rejected one; an app that is refused is left alone.
    fn app(&mut self, app: &AppWish) {
        let Some(release) = &app.release else {
            let left = self.engine.containers.iter().filter(|c| c.app_id == app.id).count();
            return if left > 0 {
                self.wrong(format!("app {} has no release and {left} container(s)", app.id))
            };
        };
        if app.spoilt {
            return;
        }
        let rejected = self.memory.rejected.get(&app.uuid).is_some_and(|rejected| rejected.commit == release.commit);
        let settled = self.memory.settled.get(&app.uuid).map(|settled| settled.commit.clone());
        if !rejected {
            self.is_in_place(app, release);
            self.was_judged(app, release, settled.as_deref());
        } else {
            let restored = settled.and_then(|commit| self.device.witness.ledger().release(&commit).cloned());
            match restored {
                Some(restored) => self.is_in_place(app, &restored),
                None => {
                    self.wrong(format!("app {}: release {} is rejected and there is none to go back to", app.id, release.commit))
                }
            }
        }
    }

    /// A release that cannot work does not take the place of one that settled, where a gate is set.
    fn was_judged(&mut self, app: &AppWish, release: &ReleaseWish, settled: Option<&str>) {
        let Some(here) = release.accepted() else { return };
        // What somebody keeps stopped is not judged.
        if self.device.witness.ledger().was_ordered(app.id) {
            return;
        }
        let gated = here.values().any(|service| service.gate_ms.is_some());
        let bad = here.values().any(|service| service.running && service.behaviour.is_bad(service.health_check));
        if gated && bad && settled.is_some_and(|settled| settled != release.commit) {
            self.wrong(format!("app {}: release {} cannot work and was not rejected", app.id, release.commit));
        }
    }

    fn is_in_place(&mut self, app: &AppWish, release: &ReleaseWish) {
        let Some(here) = release.accepted() else { return };
        let containers: Vec<Container> = self.engine.containers.iter().filter(|c| c.app_id == app.id).cloned().collect();
        for container in containers.iter().filter(|container| !here.contains_key(container.service.as_str())) {
            self.wrong(format!("{} is nothing the target asks for", container.spec.name));
        }
        let mut complete = true;
        for (name, service) in &here {
            let present: Vec<&Container> = containers.iter().filter(|container| container.service == *name).collect();
            match present.as_slice() {
                [container] => {
                    let fault = self.fault(app, container, service, release);
                    fault.into_iter().for_each(|fault| self.wrong(format!("{}: {fault}", container.spec.name)));
                    complete &= container.state != ContainerState::Created || !service.running;
                    complete &= container.commit == release.commit;
                }
                [] if !self.is_ready(app, service, &here) => complete = false,
                [] => self.wrong(format!("app {}: {name} is not there", app.id)),
                more => self.wrong(format!("app {}: {name} has {} containers", app.id, more.len())),
            }
        }
        if complete {
            self.locks_are_given_back(app.id);
        }
        self.objects(app, release);
    }

    /// What is wrong with a container.
    fn fault(&self, app: &AppWish, container: &Container, service: &ServiceWish, release: &ReleaseWish) -> Option<String> {
        // An old container stays until the new one it would hand over to can be made.
        let waits = || release.accepted().is_some_and(|here| !self.is_ready(app, service, &here));
        let stays = || service.strategy == "hand-over" && !container.handing_over && waits();
        if !fits(container, service, &self.engine) {
            return (!stays()).then(|| "has another image or configuration than the target asks for".into());
        }
        if container.commit != release.commit || container.handing_over {
            if stays() {
                return None;
            }
            return Some(format!("does not carry the name of release {}", release.commit));
        }
        let up = container.is_up();
        if !service.running {
            return up.then(|| "runs, and the target asks for it to be stopped".into());
        }
        let here = release.accepted()?;
        // Somebody asked for it to be stopped.
        if self.memory.stops.contains(&(app.id, container.service.clone())) {
            return up.then(|| "runs, and its stop is on record".into());
        }
        let fine = match (container.state, service.restart) {
            (ContainerState::Created, _) => service.behaviour == Behaviour::CannotStart || !self.is_ready(app, service, &here),
            (_, "no") => true,
            (ContainerState::Exited, "on-failure") => container.exit_code == 0,
            _ => up,
        };
        (!fine).then(|| format!("is {:?} with exit code {}", container.state, container.exit_code))
    }

    /// Whether everything a service depends on is where it should be, now.
    fn is_ready(&self, app: &AppWish, service: &ServiceWish, here: &BTreeMap<&str, &ServiceWish>) -> bool {
        let shared = service.shares_network_of.iter().map(|name| (name.as_str(), "service_started"));
        let mut conditions = service.depends_on.iter().map(|(name, condition)| (name.as_str(), *condition)).chain(shared);
        conditions.all(|(name, condition)| {
            // Without the service whose network it is to share there is nothing to start it in.
            let Some(wanted) = here.get(name) else { return service.shares_network_of.as_deref() != Some(name) };
            let of_it = |c: &&Container| c.app_id == app.id && c.service == name && fits(c, wanted, &self.engine);
            let Some(container) = self.engine.containers.iter().find(of_it) else { return false };
            !wanted.running
                || self.memory.stops.contains(&(app.id, name.to_owned()))
                || match condition {
                    "service_healthy" => container.is_up() && container.health.is_none_or(|health| health == Health::Healthy),
                    "service_completed_successfully" => container.state == ContainerState::Exited && container.exit_code == 0,
                    _ => container.state != ContainerState::Created,
                }
        })
    }

    fn locks_are_given_back(&mut self, app: u64) {
        let locks = self.device.host.snapshot();
        let ours = locks.held.get(&app).into_iter().flatten().filter(|(_, lock)| matches!(lock.holder, LockHolder::Agent { .. }));
        let ours: Vec<&String> = ours.map(|(service, _)| service).collect();
        if !ours.is_empty() {
            self.wrong(format!("app {app}: update locks were not given back: {ours:?}"));
        }
    }

    /// Networks and volumes.
    fn objects(&mut self, app: &AppWish, release: &ReleaseWish) {
        let prefix = format!("{}_", app.uuid);
        let mut wanted: BTreeSet<String> = release.networks.keys().map(|name| format!("{prefix}{name}")).collect();
        wanted.insert(format!("{prefix}default"));
        let there: Vec<String> =
            self.engine.networks.iter().map(|n| n.name.clone()).filter(|name| name.starts_with(&prefix)).collect();
        let set: BTreeSet<String> = there.iter().cloned().collect();
        if set != wanted || set.len() != there.len() {
            self.wrong(format!("app {}: networks {there:?} instead of {wanted:?}", app.id));
        }
        for (name, number) in &release.networks {
            let network = self.engine.networks.iter().find(|network| network.name == format!("{prefix}{name}"));
            let shape = network.and_then(|network| network.spec.labels.get("shape")).map(String::as_str);
            let asked = (*number > 0).then(|| number.to_string());
            if shape != asked.as_deref() {
                self.wrong(format!("app {}: network {name} has definition {shape:?} instead of {asked:?}", app.id));
            }
        }
        for name in release.volumes.keys() {
            if !self.engine.volumes.iter().any(|volume| volume.name == format!("{}_{name}", app.id)) {
                self.wrong(format!("app {}: volume {name} is not there", app.id));
            }
        }
    }

    /// No object of an app that left, and no image that nothing needs.
    fn nothing_else(&mut self) {
        let ids: BTreeSet<u64> = self.device.wish.apps.keys().copied().collect();
        let left: Vec<String> =
            self.engine.containers.iter().filter(|c| !ids.contains(&c.app_id)).map(|c| c.spec.name.clone()).collect();
        if !left.is_empty() {
            self.wrong(format!("containers of apps that left are still there: {left:?}"));
        }
        let uuids: Vec<String> = self.device.wish.apps.values().map(|app| format!("{}_", app.uuid)).collect();
        let stray = |name: &String| name != "supervisor0" && !uuids.iter().any(|uuid| name.starts_with(uuid.as_str()));
        let left: Vec<String> = self.engine.networks.iter().map(|n| n.name.clone()).filter(stray).collect();
        if !left.is_empty() {
            self.wrong(format!("networks of apps that left are still there: {left:?}"));
        }
        let data_lost = self.device.witness.ledger().data_lost;
        if !data_lost && self.device.view().is_some_and(|view| view.plan.is_settled()) {
            self.no_image_is_left_over();
        }
    }

    fn no_image_is_left_over(&mut self) {
        let releases = self.device.wish.apps.values().filter_map(|app| app.release.as_ref());
        let wanted: BTreeSet<String> = releases
            .flat_map(|release| release.services.values())
            .filter_map(|service| image_id(&self.engine, &service.image).map(str::to_owned))
            .collect();
        let used: BTreeSet<&str> = self.engine.containers.iter().map(|c| c.image_id.as_str()).collect();
        let left = self.engine.images.iter().filter(|image| !wanted.contains(&image.id) && !used.contains(image.id.as_str()));
        let left: Vec<&String> = left.flat_map(|image| &image.tags).collect();
        if !left.is_empty() {
            let message = format!("images that nothing needs are still there: {left:?}");
            self.wrong(message);
        }
    }
}

/// Whether a grace period still has to begin or to end.
fn has_departures(device: &Device) -> bool {
    let volumes = device.engine.snapshot().volumes;
    let mut apps = volumes.iter().filter_map(|volume| volume.name.split_once('_')?.0.parse::<u64>().ok());
    apps.any(|app| !device.wish.apps.contains_key(&app))
}

/// Afterwards nothing happens, with this agent and with one that starts anew.
async fn stays(device: &mut Device) {
    for again in [false, true] {
        if again {
            device.crash().await;
            device.start().await;
        }
        // The first look of a new agent may record what an earlier one could not.
        sleep(Duration::from_secs(20)).await;
        let departures = has_departures(device);
        let before = (device.witness.ledger().acts, device.writes());
        sleep(IDLE).await;
        device.look_after().await;
        device.obey().await;
        let after = (device.witness.ledger().acts, device.writes());
        if before != after && !has_hopeless(device) && !departures {
            let who = if again { "an agent that started anew" } else { "the agent" };
            let what = format!("{} change(s), {} write(s)", after.0 - before.0, after.1 - before.1);
            device.witness.verdict.accuse(format!("{who} did something with nothing to do: {what}"));
        }
    }
}
