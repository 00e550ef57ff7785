//! Images: what has to be downloaded, recorded, given up (behaviour §8). What may go is told in [`super::removal`].

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::removal::Kept;
use super::{Action, Reason};
use crate::current::Image;
use crate::memory::{ImageRecord, Remember};
use crate::policy::Gate;
use crate::target::{App, ImageRef, Service, app_from_document};

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

/// Removes what a service ran on before, to make room for its new image (behaviour §7, `delete-then-download`). True while
/// there is something to remove. An image that cannot be removed does not hold the download up.
pub(super) fn delete_first<'w>(draft: &mut Draft<'w>, world: &World<'w>, app: &App, service: &Service) -> bool {
    let input = draft.input;
    let records = input.memory.images.iter().filter(|(_, record)| {
        record.app_uuid == app.uuid
            && record.service == service.name
            && !record.image.same_image(&service.image)
            && world.image_by_id(&record.engine_id).is_some()
    });
    let mut records = records.peekable();
    if records.peek().is_none() {
        return false;
    }
    let kept = Kept::of(&input, world);
    let superseded: Vec<ImageRef> =
        records.filter(|(text, record)| !kept.has(text, record)).map(|(_, record)| record.image.clone()).collect();
    let mut any = false;
    for image in superseded {
        let key = format!("image {image}");
        if input.memory.failures.contains_key(&key) {
            draft.postpone(key);
            continue;
        }
        draft.step(Some(&app.name), Some(&service.name), Action::RemoveImage { image }, Reason::Superseded);
        any = true;
    }
    any
}

/// Records a service's image that the engine has already (made by another agent, or preloaded) and that is not recorded as
/// that: without a record the agent would never remove it.
pub(super) fn adopt(draft: &mut Draft<'_>, app: &App, service: &Service, image: &Image) {
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

/// Gives up pulls of images that no app of the target asks for any more.
pub(super) fn plan_cancel(draft: &mut Draft<'_>) {
    let input = draft.input;
    if !input.current.in_flight.keys().any(|key| key.starts_with("fetch ")) {
        return;
    }
    let memory = input.memory;
    // Where a release was rejected, the one before it is what is wanted.
    let restored: Vec<App> =
        memory.rejected.keys().filter_map(|uuid| app_from_document(uuid, &memory.settled.get(uuid)?.document)).collect();
    let releases = input.target.apps.values().chain(&restored).filter_map(|app| app.release.as_ref());
    let wanted: BTreeSet<String> = releases
        .flat_map(|release| release.services.values())
        .map(|service| format!("fetch {}", service.image.digest.clone().unwrap_or_else(|| service.image.to_string())))
        .collect();
    for key in input.current.in_flight.keys().filter(|key| key.starts_with("fetch ") && !wanted.contains(*key)) {
        draft.cancel(key);
    }
}
