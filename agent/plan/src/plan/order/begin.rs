//! The first stage of a restart or purge: may it be done, whose locks does it need, what has to go.

use super::super::draft::{Draft, World};
use super::super::{Action, Reason};
use super::{OrderVerdict, app_of, lock, meant, name_of, set_aside};
use crate::contract::{self, Verdict};
use crate::current::{Container, Volume};
use crate::memory::{Remember, Settled};
use crate::order::{Order, Stage, Task};
use crate::policy::Gate;
use crate::target::{App, AppId, Release, app_from_document};

/// Puts on record what has to go, once the app's locks are the agent's.
pub(super) fn begin(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order) -> Option<OrderVerdict> {
    let as_settled = match way_back(draft, world, app, order) {
        Ok(as_settled) => as_settled,
        Err(why) => return Some(OrderVerdict::failed(why)),
    };
    set_aside(draft, app, order);
    // What the engine shows of an app that is worked on is about to change.
    let busy = draft.is_at_work_on(app) || draft.runs(&format!("volume {app}_"));
    match lock(draft, world, app, order) {
        Err(refused) => return Some(refused),
        Ok(true) if !busy => {}
        Ok(_) => return None,
    }
    let gone = Order {
        stage: Stage::Clearing,
        containers: meant(world, app, &order.task).iter().map(|container| container.id.clone()).collect(),
        volumes: volumes(world, app, &order.task).map(|volume| (volume.name.clone(), volume.created_ms)).collect(),
        as_settled,
        ..order.clone()
    };
    let name = name_of(draft, app);
    let why = Reason::Ordered { task: order.task.word() };
    let stops = draft
        .input
        .memory
        .stops
        .iter()
        .filter(|(id, service)| *id == app && order.task.service().is_none_or(|asked| asked == service));
    for (_, service) in stops {
        super::forget_stop(draft, app, service, why.clone());
    }
    let change = Remember::Order { app_id: app, order: Some(Box::new(gone)) };
    draft.step(Some(&name), None, Action::Remember { change }, why);
    None
}

/// The volumes a purge is about: those the agent made for the app.
fn volumes<'w>(world: &World<'w>, app: AppId, task: &Task) -> impl Iterator<Item = &'w Volume> {
    let purge = *task == Task::Purge;
    let of_it = move |volume: &&Volume| purge && volume.app() == Some(app) && volume.is_supervised();
    world.volumes.values().copied().filter(of_it)
}

/// Whether the app comes back as it last settled; an error when nothing would bring it back. Nobody's containers are removed
/// that cannot be made again at once.
fn way_back(draft: &Draft<'_>, world: &World<'_>, id: AppId, order: &Order) -> Result<bool, String> {
    let input = draft.input;
    let containers = world.of_app(id);
    let app = app_of(draft, id);
    let name = name_of(draft, id);
    if containers.is_empty() && (order.task != Task::Purge || app.is_none()) {
        return Err(format!("{name} is not installed on this device: it has no container"));
    }
    if !meant(world, id, &order.task).iter().any(|_| true) && order.task.service().is_some() {
        return Err(format!("{name} has no container of that service"));
    }
    let uuid = app.map(|app| app.uuid.as_str()).or_else(|| refused_uuid(draft, id));
    let Some(uuid) = uuid else {
        return Err(format!("{name} is not in the target of this device: nothing would make its containers again"));
    };
    if input.memory.trials.contains_key(uuid) {
        return Err(format!("the new release of {name} is on trial; try again once it has settled"));
    }
    let settled = input.memory.settled.get(uuid).filter(|settled| settled.app_id == id);
    if settled.is_some_and(|settled| runs(containers, &settled.commit) && can_restore(draft, world, uuid, settled)) {
        return Ok(true);
    }
    let Some((app, release)) = app.and_then(|app| Some((app, app.release.as_ref()?))) else {
        return Err(format!("the target of {name} is refused or asks for nothing, so nothing would make its containers again"));
    };
    if matches!(contract::judge(app, input.facts), Verdict::Rejected(_)) {
        return Err(format!("the release that the target asks for of {name} may not run on this device"));
    }
    if !has_images(world, release) {
        return Err(format!("the release of {name} is still being downloaded; try again once it runs"));
    }
    if !runs(containers, &release.commit) && input.policy.switch != Gate::Open {
        return Err(format!(
            "an update of {name} waits for its window and would come with it; try again then, or force the update"
        ));
    }
    Ok(false)
}

fn refused_uuid<'a>(draft: &Draft<'a>, id: AppId) -> Option<&'a str> {
    let refused = &draft.input.target.refused;
    refused.iter().find(|(_, refused)| refused.id == Some(id)).map(|(uuid, _)| uuid.as_str())
}

/// Whether everything that is there is of this release.
fn runs(containers: &[&Container], commit: &str) -> bool {
    containers.iter().all(|container| container.commit == commit)
}

/// Whether the release that settled last can be made again without anything being downloaded.
fn can_restore(draft: &Draft<'_>, world: &World<'_>, uuid: &str, settled: &Settled) -> bool {
    let app = app_from_document(uuid, &settled.document);
    let accepted = |app: &App| !matches!(contract::judge(app, draft.input.facts), Verdict::Rejected(_));
    app.filter(accepted).and_then(|app| app.release).is_some_and(|release| has_images(world, &release))
}

fn has_images(world: &World<'_>, release: &Release) -> bool {
    release.services.values().all(|service| world.image(&service.image).is_some())
}
