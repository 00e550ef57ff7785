//! Stopping and starting one service. A stop is kept on record until the service is started, is configured anew, or is gone.

use super::super::draft::{Draft, World};
use super::super::{Action, Named, Reason, locking};
use super::{OrderVerdict, app_of, failure, lock, meant, name_of, set_aside};
use crate::current::LockHolder;
use crate::memory::Remember;
use crate::order::Order;
use crate::target::AppId;

/// Stops a service under the app's locks and keeps its container.
pub(super) fn stop(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order, service: &str) -> Option<OrderVerdict> {
    let containers = meant(world, app, &order.task);
    if containers.is_empty() {
        return Some(OrderVerdict::failed(format!("{} has no container of {service}", name_of(draft, app))));
    }
    if let Some(error) = failure(draft, app, order, 1) {
        return Some(OrderVerdict::failed(error));
    }
    set_aside(draft, app, order);
    let up: Vec<_> = containers.into_iter().filter(|container| container.is_up()).collect();
    let is_recorded = draft.input.memory.stops.contains(&(app, service.to_owned()));
    let name = name_of(draft, app);
    let why = Reason::Ordered { task: order.task.word() };
    if is_recorded && up.is_empty() {
        // Whoever updates takes them again.
        return give_back(draft, app).then_some(OrderVerdict::Done);
    }
    match lock(draft, world, app, order) {
        Err(refused) => return Some(refused),
        Ok(true) if !draft.is_at_work_on(app) => {}
        Ok(_) => return None,
    }
    if !is_recorded {
        // Before it is done: planning would start the container again.
        let change = Remember::Stop { app_id: app, service: service.to_owned(), stopped: true };
        draft.step(Some(&name), Some(service), Action::Remember { change }, why);
        return None;
    }
    for container in up {
        draft.step(Some(&name), Some(service), Action::Stop { container: Named::of(container) }, why.clone());
    }
    None
}

/// Gives the app's locks back; true once none is the agent's.
fn give_back(draft: &mut Draft<'_>, app: AppId) -> bool {
    let held = draft.input.current.locks.held.get(&app);
    let ours = held.is_some_and(|held| held.values().any(|lock| matches!(lock.holder, LockHolder::Agent { .. })));
    if ours {
        let name = name_of(draft, app);
        locking::release(draft, Some(&name), app);
    }
    !ours
}

/// Starts a service, which takes no lock. One without a container is made by the app's own planning.
pub(super) fn start(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order, service: &str) -> Option<OrderVerdict> {
    if let Some(error) = failure(draft, app, order, 1) {
        return Some(OrderVerdict::failed(error));
    }
    let why = Reason::Ordered { task: order.task.word() };
    if draft.input.memory.stops.contains(&(app, service.to_owned())) {
        forget_stop(draft, app, service, why);
        return None;
    }
    let container = meant(world, app, &order.task).into_iter().max_by_key(|c| (!c.handing_over, c.created_ms));
    match container {
        Some(container) if container.is_up() || (container.started_ms.is_some() && container.started_ms != order.started_ms) => {
            Some(OrderVerdict::Done)
        }
        Some(container) => {
            let name = name_of(draft, app);
            draft.step(Some(&name), Some(service), Action::Start { container: Named::of(container) }, why);
            None
        }
        None => {
            let wanted = app_of(draft, app).and_then(|app| app.release.as_ref());
            if wanted.is_none_or(|release| !release.services.contains_key(service)) {
                let name = name_of(draft, app);
                return Some(OrderVerdict::failed(format!(
                    "the target of {name} does not ask for {service}, so nothing makes it"
                )));
            }
            let services = [service.to_owned()].into();
            let (service, _) = locking::held_by_application(draft, app, &services)?;
            Some(OrderVerdict::Refused { locked: true, why: super::held(app, &service) })
        }
    }
}

/// Records that a stop is over.
pub(in super::super) fn forget_stop(draft: &mut Draft<'_>, app: AppId, service: &str, why: Reason) {
    let change = Remember::Stop { app_id: app, service: service.to_owned(), stopped: false };
    let name = name_of(draft, app);
    draft.step(Some(&name), Some(service), Action::Remember { change }, why);
}

/// Forgets stops that are over: somebody else started the service (the engine at a boot, for one), or nobody asks for it any
/// more.
pub(super) fn tidy(draft: &mut Draft<'_>, world: &World<'_>) {
    let input = draft.input;
    for (app, service) in input.memory.stops.iter().filter(|(app, _)| !input.memory.orders.contains_key(app)) {
        if draft.is_frozen(*app) || draft.is_at_work_on(*app) {
            continue;
        }
        let mut of_it = world.of_app(*app).iter().filter(|container| container.service == *service);
        let known = app_of(draft, *app).is_none_or(|app| app.release.as_ref().is_some_and(|r| r.services.contains_key(service)));
        let is_gone = !known && of_it.clone().next().is_none();
        let has_left = app_of(draft, *app).is_none() && input.memory.target_stored && of_it.clone().next().is_none();
        if of_it.any(|container| container.is_up()) || is_gone || has_left {
            forget_stop(draft, *app, service, Reason::RunsAgain);
        }
    }
}
