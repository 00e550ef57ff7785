//! Orders on apps: restart, purge, stop, start (protocol §17.5). Planned like everything else: what is there and what is on
//! record say what comes next, so an agent that dies in the middle goes on where it was.
//!
//! A restart or purge has three stages. *Asked*: the app's locks are taken, then what has to go is put on record. *Clearing*:
//! it goes, containers first, and nothing of the app is made meanwhile. *Restoring*: the app comes back, as it last settled
//! where that is what ran. A volume is removed nowhere else on request, and here only by its name and the time it was made.

mod begin;
mod clear;
mod restore;
mod stop;
#[cfg(test)]
mod tests;

pub(super) use restore::{plan_restored, stand_in};
pub(super) use stop::forget_stop;

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::step::{app_place, service_place};
use super::{Reason, locking};
use crate::current::Container;
use crate::order::{Order, Stage, Task};
use crate::target::{App, AppId};

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderVerdict {
    /// It is done.
    Done,
    /// It is not, or not wholly.
    Refused {
        /// Because of an update lock?
        locked: bool,
        /// Why, in a sentence.
        why: String,
    },
}

impl OrderVerdict {
    fn failed(why: impl Into<String>) -> OrderVerdict {
        OrderVerdict::Refused { locked: false, why: why.into() }
    }
}

/// So often a step of an order is tried.
const MOST_TRIES: u32 = 3;

/// Refuses what was only asked for, where nothing may be changed.
pub(super) fn refuse_all(draft: &mut Draft<'_>, why: &str) {
    let orders = &draft.input.memory.orders;
    for app in orders.iter().filter(|(_, order)| !order.is_stored()).map(|(app, _)| *app) {
        draft.order(app, OrderVerdict::failed(format!("nothing is changed now: {why}")));
    }
}

/// Plans every order as far as it takes something away; what comes back is planned by [`plan_restored`].
pub(super) fn plan_orders(draft: &mut Draft<'_>, world: &World<'_>) {
    let memory = draft.input.memory;
    for (app, order) in &memory.orders {
        if let Some(verdict) = plan_order(draft, world, *app, order) {
            draft.order(*app, verdict);
        }
    }
    stop::tidy(draft, world);
}

fn plan_order(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order) -> Option<OrderVerdict> {
    if order.until_boot_ms <= draft.input.now.boot_ms {
        return Some(OrderVerdict::failed(given_up(draft, world, app, order)));
    }
    draft.wake(order.until_boot_ms);
    match (order.stage, &order.task) {
        (Stage::Asked, _) if draft.is_frozen(app) => {
            Some(OrderVerdict::failed("a volume of the app is being copied; try again once that is done"))
        }
        (Stage::Asked, Task::Start(service)) => stop::start(draft, world, app, order, service),
        (Stage::Asked, Task::Stop(service)) => stop::stop(draft, world, app, order, service),
        (Stage::Asked, _) => begin::begin(draft, world, app, order),
        (Stage::Clearing, _) => {
            clear::clear(draft, world, app, order);
            None
        }
        (Stage::Restoring, _) => None,
    }
}

/// What an order whose time is up has left undone.
fn given_up(draft: &Draft<'_>, world: &World<'_>, app: AppId, order: &Order) -> String {
    let what =
        format!("the {} was not done within {} min and is given up", order.task.word(), crate::order::ORDER_LIMIT_MS / 60_000);
    let error = failure(draft, app, order, 1).map(|error| format!(": {error}")).unwrap_or_default();
    let kept = clear::left(world, order);
    let kept =
        if order.task == Task::Purge && !kept.is_empty() { format!("; not emptied: {}", kept.join(", ")) } else { String::new() };
    format!("{what}{error}{kept}; the app is left to its target (holdfast status shows what it waits for)")
}

/// The error of a step for the order that has failed so often.
fn failure(draft: &Draft<'_>, app: AppId, order: &Order, tries: u32) -> Option<String> {
    let failures = &draft.input.memory.failures;
    let place = match order.task.service() {
        Some(service) => service_place(app, service),
        None => app_place(app),
    };
    let beginnings = [place, format!("volume {app}_")];
    let own = failures.iter().filter(|(key, _)| beginnings.iter().any(|beginning| key.starts_with(beginning.as_str())));
    let mut often = own.filter(|(_, failure)| failure.count >= tries);
    often.next().map(|(_, failure)| failure.error.clone())
}

/// The locks of the whole app are taken for any of these: whoever holds one means the app. Whether they are the agent's; if
/// not, they are about to be.
fn lock(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order) -> Result<bool, OrderVerdict> {
    let services = everybody(draft, world, app);
    if locking::are_ours(draft, app, &services) {
        return Ok(true);
    }
    let force = order.force.clone().or_else(|| draft.input.policy.force.clone());
    if force.is_none()
        && let Some((service, _)) = locking::held_by_application(draft, app, &services)
    {
        return Err(OrderVerdict::Refused { locked: true, why: held(app, &service) });
    }
    let why = Reason::Ordered { task: order.task.word() };
    draft.step(Some(&name_of(draft, app)), None, super::Action::TakeLock { app_id: app, services, force }, why);
    Ok(false)
}

/// The protocol's words for a lock that is held (protocol §17.1).
fn held(app: AppId, service: &str) -> String {
    format!("Lockfile exists for {{ appId: {app}, service: {service} }}")
}

/// Every service of the app: there, wanted, or with a lock of its own.
fn everybody(draft: &Draft<'_>, world: &World<'_>, app: AppId) -> BTreeSet<String> {
    let mut services: BTreeSet<String> = world.of_app(app).iter().map(|container| container.service.clone()).collect();
    let release = app_of(draft, app).and_then(|app| app.release.as_ref());
    services.extend(release.iter().flat_map(|release| release.services.keys().cloned()));
    services.extend(draft.input.current.locks.held.get(&app).into_iter().flatten().map(|(service, _)| service.clone()));
    services
}

/// Leaves the app alone but for its order.
fn set_aside(draft: &mut Draft<'_>, app: AppId, order: &Order) {
    draft.freeze(app);
    let reason = Reason::Ordered { task: order.task.word() };
    draft.wait(&name_of(draft, app), order.task.service(), reason);
}

fn app_of<'a>(draft: &Draft<'a>, id: AppId) -> Option<&'a App> {
    draft.input.target.app(id).filter(|app| app.is_managed())
}

fn name_of(draft: &Draft<'_>, id: AppId) -> String {
    app_of(draft, id).map_or_else(|| format!("app {id}"), |app| app.name.clone())
}

/// Containers an order is about.
fn meant<'w>(world: &World<'w>, app: AppId, task: &Task) -> Vec<&'w Container> {
    let is_meant = |container: &&&Container| task.service().is_none_or(|service| container.service == service);
    world.of_app(app).iter().filter(is_meant).copied().collect()
}
