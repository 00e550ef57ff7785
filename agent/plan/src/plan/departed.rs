//! Apps that left the target: containers and networks go under the app's locks, volumes only after the grace period
//! (behaviour §3.5; design, "What must always hold", 4).

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::{Action, Named, Reason, locking, networks};
use crate::current::{Container, LockHolder, Network, Volume};
use crate::memory::Remember;
use crate::target::{App, AppId, DeviceTarget};

/// Apps of balena's own supervisor, which are never the agent's to manage (behaviour §9).
const SUPERVISOR_APPS: [&str; 5] = [
    "52e35121417640b1b28a680504e4039b",
    "900de4f3cbac4b9bbd232885a35e407b",
    "2e66a95795c149959c69472a8c2f92b8",
    "531b357e155c480cbec0fdd33041a1f5",
    "6822565f766e413e96d9bebe2227cdcc",
];

/// An app of the target without a release: its services go, its volumes stay.
pub(super) fn plan_empty_app(draft: &mut Draft<'_>, world: &World<'_>, app: &App) {
    let gone = remove_containers(draft, world.of_app(app.id), &app.name, app.id);
    if gone {
        locking::release(draft, Some(&app.name), app.id);
        unsettle(draft, &app.uuid);
    }
}

/// Apps that are there and that the target does not know. An agent that never stored a target removes nothing.
pub(super) fn plan_departed(draft: &mut Draft<'_>, world: &World<'_>) {
    if !draft.input.memory.target_stored {
        return;
    }
    let known = Known::of(draft.input.target);
    forget_the_returned(draft, &known);
    let containers = world.containers.iter().filter(|(id, containers)| !known.has(**id, containers)).map(|(id, _)| *id);
    // Locks left by a crash after the last container of an app was removed.
    let locked = draft.input.current.locks.held.iter().filter(|(id, locks)| {
        !known.ids.contains(id) && locks.values().any(|lock| matches!(lock.holder, LockHolder::Agent { .. }))
    });
    let departed: BTreeSet<AppId> = containers
        .chain(locked.map(|(id, _)| *id))
        .chain(draft.input.memory.departed.keys().copied().filter(|id| !known.ids.contains(id)))
        .chain(world.volumes.values().filter_map(|v| volume_app(v)).filter(|id| !known.ids.contains(id)))
        .collect();
    for app in departed.into_iter().filter(|app| !draft.is_frozen(*app)).collect::<Vec<_>>() {
        let name = format!("app {app}");
        if remove_containers(draft, world.of_app(app), &name, app) {
            locking::release(draft, Some(&name), app);
            plan_volumes(draft, world, app, &name);
        }
    }
    plan_networks(draft, &known);
    let memory = draft.input.memory;
    for (uuid, settled) in
        memory.settled.iter().filter(|(uuid, s)| !known.uuids.contains(uuid.as_str()) && !known.ids.contains(&s.app_id))
    {
        if world.of_app(settled.app_id).is_empty() {
            unsettle(draft, uuid);
        }
    }
}

/// An app that is back, even refused or kept away by its contract, has left no more: when it leaves again, the grace period
/// of its volumes begins anew.
fn forget_the_returned(draft: &mut Draft<'_>, known: &Known<'_>) {
    let (memory, target) = (draft.input.memory, draft.input.target);
    for app in memory.departed.keys().filter(|id| known.ids.contains(id)) {
        let name = target.app(*app).map_or_else(|| format!("app {app}"), |app| app.name.clone());
        let change = Remember::ForgetDeparture { app_id: *app };
        draft.step(Some(&name), None, Action::Remember { change }, Reason::NotThereYet);
    }
}

fn unsettle(draft: &mut Draft<'_>, uuid: &str) {
    if draft.input.memory.settled.contains_key(uuid) {
        let change = Remember::Unsettle { app_uuid: uuid.to_owned() };
        draft.step(None, None, Action::Remember { change }, Reason::AppLeftTarget);
    }
}

/// Removes all containers of an app under its locks; true once there are none.
fn remove_containers(draft: &mut Draft<'_>, containers: &[&Container], name: &str, app: AppId) -> bool {
    if containers.is_empty() {
        // One may still be on its way in.
        return !draft.is_at_work_on(app);
    }
    let services: BTreeSet<String> = containers.iter().map(|container| container.service.clone()).collect();
    if !locking::are_ours(draft, app, &services) {
        return locking::take(draft, name, app, services);
    }
    for container in containers {
        let action = Action::Kill { container: Named::of(container) };
        draft.step(Some(name), Some(&container.service), action, Reason::AppLeftTarget);
    }
    false
}

/// Removes the volumes of a departed app once the grace period is over; without a trusted clock it never is.
fn plan_volumes(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, name: &str) {
    // Their grace period begins when local mode ends.
    if draft.input.policy.local_mode {
        return;
    }
    let volumes: Vec<&Volume> = world.volumes.values().copied().filter(|v| volume_app(v) == Some(app)).collect();
    let since = draft.input.memory.departed.get(&app).copied();
    if volumes.is_empty() {
        if since.is_some() {
            let change = Remember::ForgetDeparture { app_id: app };
            draft.step(Some(name), None, Action::Remember { change }, Reason::NothingLeftToDo);
        }
        return;
    }
    let grace = draft.input.policy.volume_grace_ms;
    let now = draft.input.now.wall_ms;
    match (since, now) {
        _ if grace == 0 => remove_volumes(draft, &volumes, name),
        (None, Some(at_ms)) => {
            let change = Remember::Depart { app_id: app, at_ms };
            draft.step(Some(name), None, Action::Remember { change }, Reason::AppLeftTarget);
        }
        (Some(since), Some(now)) if now - since >= grace => remove_volumes(draft, &volumes, name),
        (since, _) => {
            if let Some(since) = since {
                draft.wake_at_wall(since + grace);
            }
            draft.note(name, None, Reason::KeptForGrace { until_ms: since.map(|since| since + grace) });
        }
    }
}

fn remove_volumes(draft: &mut Draft<'_>, volumes: &[&Volume], name: &str) {
    for volume in volumes {
        draft.step(Some(name), None, Action::RemoveVolume { name: volume.name.clone() }, Reason::GraceOver);
    }
}

/// Networks that carry the agent's label and belong to no app of the target.
fn plan_networks(draft: &mut Draft<'_>, known: &Known<'_>) {
    let engine = &draft.input.current.engine;
    for network in engine.networks.iter().filter(|network| !known.owns(network)) {
        if network.name != networks::SUPERVISOR_NETWORK && !engine.containers.iter().any(|c| networks::uses(c, &network.name)) {
            draft.step(None, None, networks::remove(network), Reason::AppLeftTarget);
        }
    }
}

/// The app a supervised volume belongs to; `None` for volumes that are not the agent's.
fn volume_app(volume: &Volume) -> Option<AppId> {
    volume.app().filter(|_| volume.is_supervised())
}

/// Apps the target speaks of, refused ones included.
struct Known<'a> {
    ids: BTreeSet<AppId>,
    uuids: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(target: &'a DeviceTarget) -> Known<'a> {
        let refused = target.refused.values().filter_map(|app| app.id);
        Known {
            ids: target.apps.values().map(|app| app.id).chain(refused).collect(),
            uuids: target.apps.keys().chain(target.refused.keys()).map(String::as_str).chain(SUPERVISOR_APPS).collect(),
        }
    }

    fn has(&self, id: AppId, containers: &[&Container]) -> bool {
        let by_uuid = containers.iter().filter_map(|c| c.app_uuid.as_deref()).any(|uuid| self.uuids.contains(uuid));
        self.ids.contains(&id) || by_uuid
    }

    fn owns(&self, network: &Network) -> bool {
        let label = network.labels.get("io.balena.app-id").and_then(|id| id.parse().ok());
        let prefix = network.name.split_once('_').map(|(prefix, _)| prefix);
        label.is_some_and(|id: AppId| self.ids.contains(&id))
            || prefix.is_some_and(|p| self.uuids.contains(p) || p.parse().is_ok_and(|id: AppId| self.ids.contains(&id)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::contract;
    use crate::current::Current;
    use crate::facts::Facts;
    use crate::memory::{Memory, Remember};
    use crate::plan::one_app::{self, APP, service};
    use crate::plan::{Action, Input, plan};
    use crate::policy::{Now, Policy};
    use crate::target::{DeviceTarget, RefusedApp};

    const NOW: Now = Now { wall_ms: Some(1_800_000_000_000), machine_ms: 1_800_000_000_000, boot_ms: 50_000 };

    /// Whether a plan for this target forgets that app 1 had left.
    fn forgets(target: &DeviceTarget) -> bool {
        let mut memory = Memory { target_stored: true, ..Memory::default() };
        memory.departed.insert(1, 1_700_000_000_000);
        let (current, policy, facts) = (Current::default(), Policy::default(), Facts::default());
        let made = plan(&Input { current: &current, target, memory: &memory, facts: &facts, policy: &policy, now: NOW });
        let forgotten = Remember::ForgetDeparture { app_id: 1 };
        made.steps.iter().any(|step| matches!(&step.action, Action::Remember { change } if *change == forgotten))
    }

    #[test]
    fn an_app_that_is_back_in_whatever_shape_has_left_no_more() {
        let contract = json!({ "type": "sw.container", "requires": [{ "type": "sw.os", "version": ">=99" }] });
        let mut kept_away = service(1, "a", json!({ "volumes": ["data:/data"] }));
        kept_away["contract"] = contract;
        let accepted = one_app::target("c1", json!({ "db": service(1, "a", json!({})) }), json!({}));
        let by_contract = one_app::target("c1", json!({ "db": kept_away }), json!({ "data": {} }));
        let verdict = contract::judge(&by_contract.apps[APP], &Facts::default());
        assert!(matches!(verdict, contract::Verdict::Rejected(_)), "{verdict:?}");
        let mut refused = DeviceTarget::default();
        let offence = RefusedApp { id: Some(1), name: None, commit: None, offences: Vec::new() };
        refused.refused.insert(APP.to_owned(), offence);
        let mut empty = accepted.clone();
        empty.apps.values_mut().for_each(|app| app.release = None);
        for (target, how) in [(accepted, "accepted"), (by_contract, "by contract"), (refused, "refused"), (empty, "empty")] {
            assert!(forgets(&target), "{how}");
        }
    }
}
