//! The second stage: what is on record goes, containers first. Nothing of the app is made before all of it is gone.

use std::collections::BTreeMap;

use super::super::draft::{Draft, World};
use super::super::{Action, Named, Reason};
use super::{MOST_TRIES, OrderVerdict, lock, name_of, set_aside};
use crate::current::Container;
use crate::memory::Remember;
use crate::order::{Order, Stage};
use crate::target::AppId;

/// Removes what is left of it; puts the next stage on record once nothing is.
pub(super) fn clear(draft: &mut Draft<'_>, world: &World<'_>, app: AppId, order: &Order) {
    set_aside(draft, app, order);
    let name = name_of(draft, app);
    let why = Reason::Ordered { task: order.task.word() };
    let present: Vec<&Container> =
        world.of_app(app).iter().copied().filter(|container| order.containers.contains(&container.id)).collect();
    if !present.is_empty() {
        match lock(draft, world, app, order) {
            Ok(true) => {}
            Ok(false) => return,
            // The agent died in the middle and the application was quicker. Nothing is lost yet: it is waited for.
            Err(OrderVerdict::Refused { why, .. }) => return draft.wait(&name, None, Reason::WaitingForStep { what: why }),
            Err(OrderVerdict::Done) => return,
        }
        for container in present {
            let action = Action::Kill { container: Named::of(container) };
            draft.step(Some(&name), Some(&container.service), action, why.clone());
        }
        return;
    }
    let mut gone = true;
    let mut kept = BTreeMap::new();
    for (volume, created_ms) in left_with_times(world, order) {
        if tries(draft, &volume) >= MOST_TRIES {
            draft.postpone(format!("volume {volume}"));
            kept.insert(volume, created_ms);
            continue;
        }
        gone = false;
        draft.step(Some(&name), None, Action::RemoveVolume { name: volume }, why.clone());
    }
    if gone && !draft.is_at_work_on(app) && !draft.runs(&format!("volume {app}_")) {
        let next = Order { stage: Stage::Restoring, volumes: kept, ..order.clone() };
        let change = Remember::Order { app_id: app, order: Some(Box::new(next)) };
        draft.step(Some(&name), None, Action::Remember { change }, why);
    }
}

/// Volumes on record that are still there.
pub(super) fn left(world: &World<'_>, order: &Order) -> Vec<String> {
    left_with_times(world, order).map(|(name, _)| name).collect()
}

fn left_with_times<'a>(world: &'a World<'_>, order: &'a Order) -> impl Iterator<Item = (String, Option<i64>)> + 'a {
    let is_it = |(name, created_ms): &(&String, &Option<i64>)| {
        world.volumes.get(name.as_str()).is_some_and(|volume| volume.created_ms == **created_ms)
    };
    order.volumes.iter().filter(is_it).map(|(name, created_ms)| (name.clone(), *created_ms))
}

/// How often the removal of a volume has failed.
fn tries(draft: &Draft<'_>, volume: &str) -> u32 {
    draft.input.memory.failures.get(&format!("volume {volume}")).map_or(0, |failure| failure.count)
}
