//! The last stage: the app comes back. The app's own planning makes it; here is said which release, and when it is there.

use super::super::draft::{Draft, World};
use super::super::networks::Networks;
use super::super::{app, locking};
use super::{MOST_TRIES, OrderVerdict, app_of, failure, name_of};
use crate::contract::{self, Verdict};
use crate::current::{Container, ContainerState, LockHolder};
use crate::order::{Order, Stage, Task};
use crate::target::{App, AppClass, AppId, AppUuid, Release, Service, app_from_document};

/// What stands in for the target's release until an order is done: the release that settled last, where that is what ran.
pub(in super::super) fn stand_in(draft: &Draft<'_>, id: AppId, uuid: &AppUuid, wanted: Option<&App>) -> Option<App> {
    let memory = draft.input.memory;
    let order = memory.orders.get(&id).filter(|order| order.stage == Stage::Restoring)?;
    if !order.as_settled && wanted.is_some() {
        return None;
    }
    let settled = memory.settled.get(uuid).filter(|settled| settled.app_id == id)?;
    if wanted.is_some_and(|wanted| wanted.fingerprint == settled.fingerprint) {
        return None;
    }
    let mut app = app_from_document(uuid, &settled.document)?;
    // An emptied volume is made as the target wants it: there is nothing in it that a change could lose.
    let new = wanted.and_then(|wanted| wanted.release.as_ref()).filter(|_| order.task == Task::Purge);
    if let (Some(release), Some(new)) = (&mut app.release, new) {
        for (name, spec) in &mut release.volumes {
            new.volumes.get(name).into_iter().for_each(|wanted| spec.clone_from(wanted));
        }
    }
    Some(App { fingerprint: settled.fingerprint.clone(), class: AppClass::Fleet, ..app })
}

/// Brings back apps that nothing else plans now, and ends the orders whose apps are back.
pub(in super::super) fn plan_restored<'w>(draft: &mut Draft<'w>, world: &World<'w>, supervisor: &Networks) {
    let memory = draft.input.memory;
    for (id, order) in memory.orders.iter().filter(|(_, order)| order.stage == Stage::Restoring) {
        let refused = draft.input.target.refused.iter().find(|(_, refused)| refused.id == Some(*id));
        let refused = refused.and_then(|(uuid, _)| stand_in(draft, *id, uuid, None));
        if let Some(app) = refused.as_ref().filter(|_| !draft.is_frozen(*id)) {
            app::plan_accepted(draft, world, supervisor, app);
        }
        let wanted = app_of(draft, *id);
        let restored = wanted.and_then(|wanted| stand_in(draft, *id, &wanted.uuid, Some(wanted))).or(refused);
        if let Some(verdict) = judge(draft, world, *id, order, restored.as_ref().or(wanted)) {
            draft.order(*id, verdict);
        }
    }
}

/// How the order ended, if it did.
fn judge(draft: &mut Draft<'_>, world: &World<'_>, id: AppId, order: &Order, app: Option<&App>) -> Option<OrderVerdict> {
    let word = order.task.word();
    if let Some(error) = failure(draft, id, order, MOST_TRIES).filter(|_| order.volumes.is_empty()) {
        return Some(OrderVerdict::failed(format!("after the {word}: {error}; that is tried again and again")));
    }
    // Why they stay is told at the end.
    order.volumes.keys().for_each(|name| draft.postpone(format!("volume {name}")));
    // Its app left the target or may not run any more: nothing is to come back.
    if let Some(app) = app.filter(|app| !matches!(contract::judge(app, draft.input.facts), Verdict::Rejected(_))) {
        let release = app.release.as_ref();
        if release.is_some_and(|release| !is_back(draft, world, id, order, release)) {
            let why = super::Reason::Ordered { task: word };
            draft.wait(&name_of(draft, id), order.task.service(), why);
            return None;
        }
    }
    // What else is done under the locks ends first: a service that shares the network of a new one, for example.
    if draft.is_at_work_on(id) || draft.plans_work_on(id) {
        return None;
    }
    let held = draft.input.current.locks.held.get(&id);
    let ours = held.is_some_and(|held| held.values().any(|lock| matches!(lock.holder, LockHolder::Agent { .. })));
    if ours {
        locking::release(draft, Some(&name_of(draft, id)), id);
        return None;
    }
    if order.volumes.is_empty() {
        return Some(OrderVerdict::Done);
    }
    let names: Vec<&str> = order.volumes.keys().map(String::as_str).collect();
    let error = names.iter().find_map(|name| draft.input.memory.failures.get(&format!("volume {name}")));
    let error = error.map(|failure| format!(": {}", failure.error)).unwrap_or_default();
    Some(OrderVerdict::failed(format!("not purged, still with their data: {}{error}", names.join(", "))))
}

/// Whether every service the order is about has its container again.
fn is_back(draft: &Draft<'_>, world: &World<'_>, id: AppId, order: &Order, release: &Release) -> bool {
    let runs_here = |service: &&Service| contract::allows(service, draft.input.facts);
    let asked = |service: &&Service| order.task.service().is_none_or(|asked| asked == service.name);
    let mut services = release.services.values().filter(runs_here).filter(asked);
    services.all(|service| {
        let is_new = |c: &Container| c.service == service.name && !c.handing_over && !order.containers.contains(&c.id);
        let started = |c: &Container| c.state != ContainerState::Created || !service.running || requires_reboot(service);
        world.of_app(id).iter().any(|container| is_new(container) && started(container))
    })
}

fn requires_reboot(service: &Service) -> bool {
    service.labels.get("io.balena.update.requires-reboot").is_some_and(|value| matches!(value.as_str(), "1" | "true" | "on"))
}
