//! A service that hands over stays up until its new container is there.

use holdfast_plan::current::{Container, EngineState};
use holdfast_plan::memory::Memory;
use tokio::time::Instant;

use super::ledger::{LAG, Ledger};
use super::wish::{AppWish, Contract, ReleaseWish, ServiceWish, Wish};

/// What is wrong with stopping a container that nothing stands beside. `memory` is looked up only where it matters.
pub(super) fn stopped_first(
    ledger: &Ledger,
    memory: impl FnOnce() -> Option<Memory>,
    old: &Container,
    after: &EngineState,
) -> Option<String> {
    let hands_over = |wish: &Wish| service(wish, old).is_some_and(|(.., service)| stays(service));
    let long = ledger.holds_for(hands_over)?;
    let may_be_forced = ledger.forced_until.is_some_and(|until| Instant::now() < until);
    if long <= LAG || may_be_forced || ledger.is_ordered(old.app_id) {
        return None;
    }
    let app = ledger.app(old.app_id)?;
    let release = app.release.as_ref()?;
    if release.services.values().any(|service| service.contract == Contract::Unmet) || !keeps_networks(app, release, old, after) {
        return None;
    }
    let memory = memory()?;
    // The release before a rejected one has wishes of its own.
    if memory.rejected.contains_key(&app.uuid) || memory.stops.contains(&(old.app_id, old.service.clone())) {
        return None;
    }
    Some(format!("{} was stopped before anything was there that it could hand over to", old.spec.name))
}

fn service<'a>(wish: &'a Wish, old: &Container) -> Option<(&'a AppWish, &'a ReleaseWish, &'a ServiceWish)> {
    let app = wish.apps.get(&old.app_id).filter(|app| !app.spoilt)?;
    let release = app.release.as_ref()?;
    Some((app, release, release.services.get(&old.service)?))
}

fn stays(service: &ServiceWish) -> bool {
    service.strategy == "hand-over" && service.running && !service.asks_for_reboot && service.contract == Contract::None
}

/// Whether every network it is in stays as it is: one that has to go cannot hold both.
fn keeps_networks(app: &AppWish, release: &ReleaseWish, old: &Container, after: &EngineState) -> bool {
    old.spec.networks.keys().all(|network| {
        let Some(name) = network.strip_prefix(&format!("{}_", app.uuid)) else { return true };
        let shape = after.networks.iter().find(|present| present.name == *network).and_then(|n| n.spec.labels.get("shape"));
        let asked = release.networks.get(name).copied();
        let is_asked = name == "default" || asked.is_some();
        is_asked && shape.map(String::as_str) == asked.filter(|number| *number > 0).map(|n| n.to_string()).as_deref()
    })
}
