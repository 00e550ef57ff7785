//! A volume kept from its services while a request copies it. The request belongs to whoever made it and is never stored:
//! once it is gone, containers that were stopped for it are started again, and those that went are made again like any that
//! are missing. What is remembered is only which containers ran ([`crate::memory::Memory::held`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::draft::{Draft, World};
use super::{Action, Named, Reason, locking};
use crate::container::volume_owner;
use crate::contract::{self, Verdict};
use crate::current::Container;
use crate::memory::Remember;
use crate::policy::{Hold, Purpose};
use crate::target::{App, AppId};

#[cfg(test)]
mod tests;

/// How it stands with the volume that is to be kept from its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum HoldVerdict {
    /// Services still have to let go of it.
    Pending,
    /// Nothing uses it, and nothing will until the request ends.
    Ready,
    /// It cannot be had now.
    Refused {
        /// Because of an update lock?
        locked: bool,
        /// Why, in a sentence.
        why: String,
    },
}

impl HoldVerdict {
    fn refused(why: impl Into<String>) -> HoldVerdict {
        HoldVerdict::Refused { locked: false, why: why.into() }
    }
}

/// An agent that only watches stops nothing, so only a volume that nothing uses can be had.
pub(super) fn judge_watching(draft: &mut Draft<'_>, why: &str) {
    let Some(hold) = &draft.input.policy.hold else { return };
    let containers = &draft.input.current.engine.containers;
    let in_the_way = |container: &&Container| container.mounts_volume(&hold.volume) && goes(hold, container);
    let verdict = match containers.iter().find(in_the_way) {
        Some(user) => HoldVerdict::refused(format!("{} uses it and may not be touched: {why}", user.service)),
        None => HoldVerdict::Ready,
    };
    draft.hold(verdict);
}

/// Keeps the volume from its services while a request asks for it, and lets go of everything else.
pub(super) fn plan_hold(draft: &mut Draft<'_>, world: &World<'_>) {
    let hold = draft.input.policy.hold.as_ref();
    let containers = &draft.input.current.engine.containers;
    let users: Vec<&Container> =
        hold.map_or_else(Vec::new, |hold| containers.iter().filter(|c| c.mounts_volume(&hold.volume)).collect());
    resume(draft, &users);
    let Some(hold) = hold else { return };
    let owner = volume_owner(&hold.volume);
    let apps: BTreeSet<AppId> = users.iter().map(|user| user.app_id).chain(owner).collect();
    let verdict = obstacle(draft, world, hold, &users, &apps).unwrap_or_else(|| clear(draft, hold, &users, &apps));
    if !matches!(verdict, HoldVerdict::Refused { .. }) {
        for app in &apps {
            draft.freeze(*app);
            let reason = Reason::HeldForVolume { name: hold.volume.clone(), purpose: hold.purpose };
            draft.wait(&name_of(draft, *app), None, reason);
        }
    }
    draft.hold(verdict);
}

/// Whether a user of the volume has to go for this.
fn goes(hold: &Hold, container: &Container) -> bool {
    hold.purpose == Purpose::Restore || container.is_up()
}

/// Why the volume cannot be had at all, whatever its services do.
fn obstacle(
    draft: &Draft<'_>,
    world: &World<'_>,
    hold: &Hold,
    users: &[&Container],
    apps: &BTreeSet<AppId>,
) -> Option<HoldVerdict> {
    let memory = draft.input.memory;
    for app in draft.input.target.apps.values().filter(|app| apps.contains(&app.id)) {
        // Health is judged against a deadline; a service that is stopped on purpose would fail its release.
        if memory.trials.contains_key(&app.uuid) {
            let why = format!("the new release of {} is on trial; try again once it has settled", app.name);
            return Some(HoldVerdict::refused(why));
        }
    }
    if let Some(order) = apps.iter().find_map(|app| memory.orders.get(app)) {
        return Some(HoldVerdict::refused(format!("a {} of its app is under way; try again once it is done", order.task.word())));
    }
    if hold.purpose == Purpose::Backup {
        return None;
    }
    let lost = users.iter().find(|user| !is_made_again(draft, world, user))?;
    Some(HoldVerdict::refused(format!(
        "the container of {} has to go for it, and nothing would make it again: its app's target does not ask for it, is refused, or is not downloaded yet",
        lost.service
    )))
}

/// Whether a container that is removed now is made again without anything being downloaded.
fn is_made_again(draft: &Draft<'_>, world: &World<'_>, container: &Container) -> bool {
    let input = draft.input;
    let Some(app) = app_of(draft, container.app_id) else { return false };
    let reduced;
    let app = match contract::judge(app, input.facts) {
        Verdict::Accepted => app,
        Verdict::Without(without, _) => {
            reduced = without;
            &reduced
        }
        Verdict::Rejected(_) => return false,
    };
    let Some(release) = app.release.as_ref().filter(|_| !input.memory.rejected.contains_key(&app.uuid)) else { return false };
    let present = release.services.values().all(|service| world.image(&service.image).is_some());
    present && release.services.contains_key(&container.service)
}

/// Takes the locks and stops what uses the volume; ready once nothing does.
fn clear(draft: &mut Draft<'_>, hold: &Hold, users: &[&Container], apps: &BTreeSet<AppId>) -> HoldVerdict {
    let busy = apps.iter().any(|app| draft.is_at_work_on(*app));
    // The copy is made through a container of some image; none of them may be on its way out.
    if busy || draft.runs("image ") || draft.input.current.in_flight.contains_key(&format!("volume {}", hold.volume)) {
        return HoldVerdict::Pending;
    }
    let users: Vec<&Container> = users.iter().copied().filter(|user| goes(hold, user)).collect();
    if users.is_empty() {
        return HoldVerdict::Ready;
    }
    let mut ours = true;
    for (app, services) in services(draft, hold, &users) {
        match lock(draft, hold, app, services) {
            Ok(held) => ours &= held,
            Err(verdict) => return verdict,
        }
    }
    if ours {
        users.into_iter().for_each(|user| stop(draft, hold, user));
    }
    HoldVerdict::Pending
}

/// Whose locks are needed. For a restore those of the whole app: its containers are made again, and nobody's lock may come
/// between that.
fn services(draft: &Draft<'_>, hold: &Hold, users: &[&Container]) -> BTreeMap<AppId, BTreeSet<String>> {
    let mut services: BTreeMap<AppId, BTreeSet<String>> = BTreeMap::new();
    for user in users {
        let set = services.entry(user.app_id).or_default();
        set.insert(user.service.clone());
        if hold.purpose == Purpose::Restore {
            let release = app_of(draft, user.app_id).and_then(|app| app.release.as_ref());
            set.extend(release.iter().flat_map(|release| release.services.keys().cloned()));
        }
    }
    services
}

/// Whether the locks are ours; asks for them otherwise. `Err` when an application holds one.
fn lock(draft: &mut Draft<'_>, hold: &Hold, app: AppId, services: BTreeSet<String>) -> Result<bool, HoldVerdict> {
    if locking::are_ours(draft, app, &services) {
        return Ok(true);
    }
    let force = hold.force.clone().or_else(|| draft.input.policy.force.clone());
    if force.is_none()
        && let Some((_, reason)) = locking::held_by_application(draft, app, &services)
    {
        let why = match reason {
            Reason::WaitingForLock { service, file, .. } => format!("{service} holds its update lock ({file})"),
            other => other.to_string(),
        };
        return Err(HoldVerdict::Refused { locked: true, why });
    }
    let reason = Reason::HeldForVolume { name: hold.volume.clone(), purpose: hold.purpose };
    draft.step(Some(&name_of(draft, app)), None, Action::TakeLock { app_id: app, services, force }, reason);
    Ok(false)
}

fn stop(draft: &mut Draft<'_>, hold: &Hold, user: &Container) {
    let container = Named::of(user);
    let action = match hold.purpose {
        Purpose::Restore => Action::Kill { container },
        // Written down before it is done: whatever happens after, somebody knows that it has to run again.
        Purpose::Backup if !draft.input.memory.held.contains(&user.id) => held(user.id.clone(), true),
        Purpose::Backup => Action::Stop { container },
    };
    let reason = Reason::HeldForVolume { name: hold.volume.clone(), purpose: hold.purpose };
    draft.step(Some(&name_of(draft, user.app_id)), Some(&user.service), action, reason);
}

/// Containers that were stopped for a copy and are not needed stopped any more run again.
fn resume(draft: &mut Draft<'_>, users: &[&Container]) {
    let input = draft.input;
    for id in input.memory.held.iter().filter(|id| !users.iter().any(|user| user.id == **id)) {
        let container = input.current.engine.containers.iter().find(|container| container.id == *id);
        match container.filter(|container| !container.is_up() && should_run(draft, container)) {
            Some(down) => {
                let name = name_of(draft, down.app_id);
                draft.step(Some(&name), Some(&down.service), Action::Start { container: Named::of(down) }, Reason::HoldOver);
            }
            None => draft.step(None, None, held(id.clone(), false), Reason::HoldOver),
        }
    }
}

/// Whether nobody has asked for it to be stopped meanwhile.
fn should_run(draft: &Draft<'_>, container: &Container) -> bool {
    let asked = draft.input.memory.stops.contains(&(container.app_id, container.service.clone()));
    let release = app_of(draft, container.app_id).and_then(|app| app.release.as_ref());
    let wanted = release.and_then(|release| release.services.get(&container.service)).is_none_or(|service| service.running);
    wanted && !asked
}

fn held(container: String, held: bool) -> Action {
    Action::Remember { change: Remember::Held { container, held } }
}

fn app_of<'a>(draft: &Draft<'a>, id: AppId) -> Option<&'a App> {
    draft.input.target.app(id)
}

fn name_of(draft: &Draft<'_>, id: AppId) -> String {
    app_of(draft, id).map_or_else(|| format!("app {id}"), |app| app.name.clone())
}
