//! Images: what has to be downloaded, what may go (behaviour §8).

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::{Action, Reason};
use crate::memory::{ImageRecord, Remember};
use crate::policy::Gate;
use crate::target::{App, DeviceTarget, Release, Service};

/// Asks for a service's image, if it may be downloaded now.
pub(super) fn fetch(draft: &mut Draft<'_>, app: &App, service: &Service) {
    let app_name = Some(app.name.as_str());
    let service_name = Some(service.name.as_str());
    if let Gate::Until { wall_ms, why } = &draft.input.policy.download {
        if let Some(at) = wall_ms {
            draft.wake_at_wall(*at);
        }
        return draft.wait(&app.name, service_name, Reason::WaitingForDownloadWindow { why: why.clone() });
    }
    // Recorded before it is there: an image that arrives just before the agent dies would belong to nobody otherwise.
    if !draft.input.memory.images.contains_key(&service.image.to_string()) {
        let record = ImageRecord {
            image: service.image.clone(),
            engine_id: String::new(),
            app_uuid: app.uuid.clone(),
            service: service.name.clone(),
            size_bytes: 0,
            pulled_ms: None,
        };
        let change = Remember::Image(record);
        return draft.step(app_name, service_name, Action::Remember { change }, Reason::NotThereYet);
    }
    let action = Action::Fetch { image: service.image.clone(), app_uuid: app.uuid.clone(), service: service.name.clone() };
    draft.step(app_name, service_name, action, Reason::NotThereYet);
}

/// Records images of a release that the engine has already (made by another agent, or preloaded): without a record the
/// agent would never remove them.
pub(super) fn adopt(draft: &mut Draft<'_>, world: &World<'_>, app: &App, release: &Release) {
    for service in release.services.values() {
        let Some(image) = world.image(&service.image) else { continue };
        let known = draft.input.memory.images.get(&service.image.to_string());
        if known.is_some_and(|record| record.engine_id == image.id) {
            continue;
        }
        let record = ImageRecord {
            image: service.image.clone(),
            engine_id: image.id.clone(),
            app_uuid: app.uuid.clone(),
            service: service.name.clone(),
            size_bytes: image.size_bytes,
            pulled_ms: draft.input.now.wall_ms,
        };
        draft.step(Some(&app.name), Some(&service.name), Action::AdoptImage { record }, Reason::NotThereYet);
    }
}

/// Removes images that the agent once pulled and nothing needs any more: only when no app has anything left to do, so
/// that the old release's images stay until the new one runs.
pub(super) fn plan_removal(draft: &mut Draft<'_>, world: &World<'_>) {
    if draft.is_unsettled() || !draft.input.memory.target_stored || !draft.input.current.in_flight.is_empty() {
        return;
    }
    let input = draft.input;
    let wanted = Wanted::of(input.target);
    let used: BTreeSet<&str> = input.current.engine.containers.iter().map(|c| c.image_id.as_str()).collect();
    for (text, record) in &input.memory.images {
        if wanted.has(text, record) || used.contains(record.engine_id.as_str()) {
            continue;
        }
        let service = Some(record.service.as_str());
        let action = if world.image(&record.image).is_some() || world.image_by_id(&record.engine_id).is_some() {
            Action::RemoveImage { image: record.image.clone() }
        } else {
            Action::Remember { change: Remember::ForgetImage { image: text.clone() } }
        };
        draft.step(None, service, action, Reason::Superseded);
    }
}

/// What the target needs kept. Images of refused apps are kept too: their release goes on running.
struct Wanted<'a> {
    texts: BTreeSet<String>,
    digests: BTreeSet<&'a str>,
    refused: BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(target: &'a DeviceTarget) -> Wanted<'a> {
        let services =
            || target.apps.values().filter_map(|app| app.release.as_ref()).flat_map(|release| release.services.values());
        Wanted {
            texts: services().map(|service| service.image.to_string()).collect(),
            digests: services().filter_map(|service| service.image.digest.as_deref()).collect(),
            refused: target.refused.keys().map(String::as_str).collect(),
        }
    }

    fn has(&self, text: &str, record: &ImageRecord) -> bool {
        self.texts.contains(text)
            || record.image.digest.as_deref().is_some_and(|digest| self.digests.contains(digest))
            || self.refused.contains(record.app_uuid.as_str())
    }
}

/// Gives up pulls of images that no app of the target asks for any more.
pub(super) fn plan_cancel(draft: &mut Draft<'_>) {
    let input = draft.input;
    if !input.current.in_flight.keys().any(|key| key.starts_with("fetch ")) {
        return;
    }
    let services =
        input.target.apps.values().filter_map(|app| app.release.as_ref()).flat_map(|release| release.services.values());
    let wanted: BTreeSet<String> = services
        .map(|service| format!("fetch {}", service.image.digest.clone().unwrap_or_else(|| service.image.to_string())))
        .collect();
    for key in input.current.in_flight.keys().filter(|key| key.starts_with("fetch ") && !wanted.contains(*key)) {
        draft.cancel(key);
    }
}
