//! One app of the target: from what is there to what is wanted (behaviour §3).

mod survey;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::switch::Planned;

use super::draft::{Draft, World};
use super::need::Need;
use super::networks::{self, Networks};
use super::start::{Candidate, blocker};
use super::trial::{self, Verdict};
use super::volumes::Volumes;
use super::{Action, Named, Reason, departed, handover, images, locking, order};
use crate::contract;
use crate::current::Container;
use crate::memory::{Remember, Settled};
use crate::policy::Gate;
use crate::target::{App, AppId, RefusedApp, Release, Strategy};

/// An app whose target is refused is left exactly as it is.
pub(super) fn refused(draft: &mut Draft<'_>, uuid: &str, app: &RefusedApp) {
    let name = app.name.as_deref().unwrap_or(uuid);
    let offences = app.offences.iter().map(ToString::to_string).collect();
    draft.note(name, None, Reason::Refused { offences });
    // Locks that were taken for something that is over by now. An order that brings the app back gives them back itself.
    let is_over = |id: &AppId| !draft.is_frozen(*id) && !draft.is_at_work_on(*id) && !draft.input.memory.orders.contains_key(id);
    if let Some(id) = app.id.filter(is_over) {
        locking::release(draft, Some(name), id);
    }
}

/// Plans one app as far as its contracts let it run on this device (behaviour §9).
pub(super) fn plan_accepted<'w>(draft: &mut Draft<'w>, world: &World<'w>, supervisor: &Networks, app: &App) {
    match contract::judge(app, draft.input.facts) {
        contract::Verdict::Accepted => plan_app(draft, world, supervisor, app),
        contract::Verdict::Without(reduced, violations) => {
            for violation in violations {
                draft.note(&app.name, Some(&violation.service), Reason::LeftOut { unmet: violation.unmet });
            }
            plan_app(draft, world, supervisor, &reduced);
        }
        contract::Verdict::Rejected(violations) => {
            let services = violations.into_iter().map(|v| format!("{} requires {}", v.service, v.unmet)).collect();
            draft.note(&app.name, None, Reason::ContractUnmet { services });
        }
    }
}

/// Plans one app; settles it when nothing is left to do.
fn plan_app<'a, 'w: 'a>(draft: &mut Draft<'w>, world: &World<'w>, supervisor: &'a Networks, app: &'a App) {
    let Some(release) = &app.release else {
        return departed::plan_empty_app(draft, world, app);
    };
    let mut round = None;
    let unsettled =
        draft.unsettled_by(|draft| round.insert(Round::of(draft, world, supervisor, app, release)).plan(draft, world));
    // A container that is as it should be now may be on its way out because of an earlier target.
    let unsettled = unsettled || draft.is_at_work_on(app.id);
    let candidates = round.iter().flat_map(|round| round.candidates.values());
    match trial::judge(draft, app, release, candidates, !unsettled) {
        Verdict::Settle if !unsettled => settle(draft, app, release),
        Verdict::Settle | Verdict::Wait => {}
    }
}

/// Records the release as settled and gives the locks back, both in one round (behaviour §3.4).
fn settle(draft: &mut Draft<'_>, app: &App, release: &Release) {
    let memory = draft.input.memory;
    let known = memory.settled.get(&app.uuid);
    let is_other = known.is_none_or(|settled| settled.commit != release.commit || settled.fingerprint != app.fingerprint);
    // A trial that is still on record is that of a release the target gave up: it is over.
    if is_other || memory.trials.contains_key(&app.uuid) {
        let (fingerprint, document) = (app.fingerprint.clone(), (*app.document).clone());
        let settled = Settled { app_id: app.id, commit: release.commit.clone(), fingerprint, document };
        let change = Remember::Settle { app_uuid: app.uuid.clone(), settled };
        let why = Reason::ReleaseComplete { commit: release.commit.clone() };
        draft.step(Some(&app.name), None, Action::Remember { change }, why);
    }
    locking::release(draft, Some(&app.name), app.id);
}

/// Everything one round knows about one app.
struct Round<'a> {
    app: &'a App,
    release: &'a Release,
    candidates: BTreeMap<&'a str, Candidate<'a>>,
    /// Containers nothing in the release stands for: removed services and older duplicates.
    surplus: Vec<(&'a Container, Reason)>,
    /// Old containers beside the new ones they hand over to.
    handing_over: Vec<(&'a Container, &'a Container)>,
    supervisor: &'a Networks,
    networks: Networks,
    volumes: Volumes,
    first_install: bool,
}

impl<'a> Round<'a> {
    fn plan<'w>(&self, draft: &mut Draft<'w>, world: &World<'w>) {
        let missing: Vec<&Candidate<'_>> =
            self.candidates.values().filter(|c| !c.has_image && !matches!(c.need, Need::Keep)).collect();
        self.fetch(draft, world, &missing);
        self.keep_running(draft);
        self.tell_unkept(draft);
        if self.volumes.blocked {
            return;
        }
        self.hand_over(draft, missing.is_empty());
        let missing = Arc::new(missing.iter().map(|c| c.service.image.to_string()).collect::<Vec<_>>());
        let switch = self.switch(&missing, draft.input.policy.download == Gate::Open);
        if switch.is_empty() {
            return;
        }
        if switch.iter().all(|(.., ready)| !ready) {
            return self.explain(draft, switch);
        }
        // What only adds missing containers to the release that runs interrupts nobody either.
        let only_adds = switch.iter().all(|(_, planned, _)| planned.adds());
        if !locking::acquire(draft, self.app, self.lock_set(), self.first_install || only_adds) {
            return;
        }
        if !trial::begin(draft, self.app, self.release) || self.end_stops(draft, &switch) {
            return;
        }
        for (service, planned, ready) in switch {
            match planned {
                Planned::Do(action, why) if ready => draft.step(Some(&self.app.name), Some(service), action, why),
                Planned::Do(_, why) | Planned::Wait(why) => draft.wait(&self.app.name, Some(service), why),
            }
        }
    }

    /// A stop that was asked for lasts until the service's configuration changes. Written down before the old container
    /// goes: the new one would not be started otherwise.
    fn end_stops(&self, draft: &mut Draft<'_>, switch: &[(&str, Planned, bool)]) -> bool {
        let mut any = false;
        for (service, planned, ready) in switch {
            let Planned::Do(Action::Kill { .. }, why) = planned else { continue };
            if *ready && self.candidates.get(service).is_some_and(|candidate| candidate.stopped) {
                order::forget_stop(draft, self.app.id, service, why.clone());
                any = true;
            }
        }
        any
    }

    fn explain(&self, draft: &mut Draft<'_>, switch: Vec<(&str, Planned, bool)>) {
        for (service, planned, _) in switch {
            let (Planned::Do(_, why) | Planned::Wait(why)) = planned;
            draft.wait(&self.app.name, Some(service), why);
        }
    }

    /// Downloads wait until containers of the kill-first strategies are gone, except for services that are new.
    fn fetch<'w>(&self, draft: &mut Draft<'w>, world: &World<'w>, missing: &[&Candidate<'a>]) {
        let busy = self
            .candidates
            .values()
            .any(|c| kills_first(c) && matches!(&c.need, Need::Replace(container, _) if container.is_up()));
        let open = draft.input.policy.download == Gate::Open;
        for candidate in missing {
            if open && busy && candidate.present.is_some() {
                continue;
            }
            let deletes_first = candidate.service.strategy() == Strategy::DeleteThenDownload;
            if !(open && deletes_first && images::delete_first(draft, world, self.app, candidate.service)) {
                images::fetch(draft, self.app, candidate.service);
            }
        }
    }

    /// What needs no lock: starting what should run, burying what is half removed.
    fn keep_running(&self, draft: &mut Draft<'_>) {
        for (name, candidate) in &self.candidates {
            let label = (Some(self.app.name.as_str()), Some(*name));
            match &candidate.need {
                Need::Start(container, why) => {
                    match self.start_blocker(candidate).or_else(|| needs_reboot(draft, candidate, container)) {
                        Some(reason) if *why == Reason::StartedNever => {
                            if reason == Reason::WaitingForReboot {
                                require_reboot(draft, self.app, container);
                            }
                            draft.wait(&self.app.name, Some(name), reason);
                        }
                        _ => draft.step(label.0, label.1, Action::Start { container: Named::of(container) }, why.clone()),
                    }
                }
                Need::Bury(container) => {
                    draft.step(label.0, label.1, Action::Kill { container: Named::of(container) }, Reason::Dead);
                }
                _ => {}
            }
        }
    }

    /// What is as it should be as far as it can be.
    fn tell_unkept(&self, draft: &mut Draft<'_>) {
        for candidate in self.candidates.values().filter(|candidate| !candidate.unkept.is_empty()) {
            let fields = candidate.unkept.clone();
            draft.note(&self.app.name, Some(&candidate.service.name), Reason::NotKept { fields });
        }
    }

    fn start_blocker(&self, candidate: &Candidate<'a>) -> Option<Reason> {
        blocker(candidate, &self.candidates, &[&self.networks, self.supervisor], &self.volumes)
    }

    /// Hand-overs need no lock: nothing stops before the new container says so (behaviour §7).
    fn hand_over(&self, draft: &mut Draft<'_>, images_ready: bool) {
        for (old, new) in &self.handing_over {
            let Some(candidate) = self.candidates.get(new.service.as_str()) else { continue };
            handover::finish(draft, self.app, candidate, old, new);
        }
        for candidate in self.candidates.values().filter(|_| images_ready) {
            let (Need::Replace(container, _) | Need::Rename(container)) = &candidate.need else { continue };
            if handover::applies(candidate, container, self.is_changing(container)) && trial::begin(draft, self.app, self.release)
            {
                let blocker = self.beside(&candidate.service.name).or_else(|| self.start_blocker(candidate));
                handover::begin(draft, self.app, candidate, container, blocker);
            }
        }
    }

    /// A service that has more containers than one is not handed over once more before the others are gone.
    fn beside(&self, service: &str) -> Option<Reason> {
        let surplus = self.surplus.iter().map(|(container, _)| *container);
        let mut others = self.handing_over.iter().map(|(old, _)| *old).chain(surplus);
        others.any(|container| container.service == service).then_some(Reason::WaitingForOldContainer)
    }

    fn is_changing(&self, container: &Container) -> bool {
        changing_object(container, &[&self.networks, self.supervisor], &self.volumes).is_some()
    }

    /// All services of the present and the wanted release (behaviour §6).
    fn lock_set(&self) -> BTreeSet<String> {
        let surplus = self.surplus.iter().map(|(container, _)| container.service.clone());
        self.release.services.keys().cloned().chain(surplus).collect()
    }
}

/// A service that asks for a reboot first is started by the first run of the machine after its container was made.
fn needs_reboot(draft: &Draft<'_>, candidate: &Candidate<'_>, container: &Container) -> Option<Reason> {
    let booted_ms = draft.input.facts.boot_time_ms?;
    (candidate.requires_reboot() && container.created_ms >= booted_ms).then_some(Reason::WaitingForReboot)
}

/// Marks that the device has to start again for a container. Whether it has since the container was made, clocks tell; one
/// that is not set says nothing.
fn require_reboot(draft: &mut Draft<'_>, app: &App, container: &Container) {
    let id: String = container.id.chars().take(12).collect();
    let why = format!("service {} of {} (container {id})", container.service, app.name);
    let host = &draft.input.current.host;
    if host.boot_id.is_empty() || host.reboot.contains(&why) || draft.input.now.wall_ms.is_none() {
        return;
    }
    draft.step(Some(&app.name), Some(&container.service), Action::RequireReboot { why }, Reason::WaitingForReboot);
}

fn kills_first(candidate: &Candidate<'_>) -> bool {
    matches!(candidate.service.strategy(), Strategy::KillThenDownload | Strategy::DeleteThenDownload)
}

/// A network or volume that has to go and that this container uses.
fn changing_object(container: &Container, networks: &[&Networks], volumes: &Volumes) -> Option<String> {
    let network = networks.iter().flat_map(|n| &n.changing).find(|name| networks::uses(container, name));
    let volume = volumes.changing.iter().find(|name| container.mounts_volume(name));
    network.map(|name| format!("network {name}")).or_else(|| volume.map(|name| format!("volume {name}")))
}
