//! Images that may go: superseded ones that the agent recorded, and dangling ones that nobody can name (behaviour §8).
//! Nothing here is ever forced: an image that something still uses stays.

use std::collections::BTreeSet;

use super::draft::{Draft, World};
use super::{Action, Input, Reason};
use crate::memory::{ImageRecord, Remember, Settled};
use crate::target::{ImageRef, Release, Strategy, app_from_document};

#[cfg(test)]
mod tests;

/// Removes images that the agent recorded and nothing needs any more. Ordinarily only when no app has anything left to do,
/// so that the old release's images stay until the new one runs; at once when the disk had no room for something.
pub(super) fn plan_superseded<'w>(draft: &mut Draft<'w>, world: &World<'w>) {
    let input = draft.input;
    if !input.memory.target_stored || input.policy.hold.is_some() || input.policy.local_mode {
        return;
    }
    let why = match is_idle(draft) {
        true => Reason::Superseded,
        false if input.memory.failures.values().any(|failure| failure.no_space) => Reason::RoomNeeded,
        false => return,
    };
    // On a settled device every record is of an image that a container is made of: then nothing else need be asked.
    let in_use: BTreeSet<&str> = input.current.engine.containers.iter().map(|container| container.image_id.as_str()).collect();
    let is_in_use = |record: &ImageRecord| !record.engine_id.is_empty() && in_use.contains(record.engine_id.as_str());
    let mut unused = input.memory.images.iter().filter(|(_, record)| !is_in_use(record)).peekable();
    if unused.peek().is_none() {
        return;
    }
    let kept = Kept::of(&input, world);
    for (text, record) in unused.filter(|(text, record)| !kept.has(text, record)) {
        let action = if world.image(&record.image).is_some() || world.image_by_id(&record.engine_id).is_some() {
            Action::RemoveImage { image: record.image.clone() }
        } else {
            Action::Remember { change: Remember::ForgetImage { image: text.clone() } }
        };
        draft.step(None, Some(&record.service), action, why.clone());
    }
}

/// Removes images that have neither a tag nor a digest, so that nobody can ask for them by name, and no use. An image that
/// was pulled by digest has one and is not meant. Only when nothing else is left to do.
pub(super) fn plan_dangling(draft: &mut Draft<'_>) {
    let input = draft.input;
    if !input.policy.clean_dangling || input.policy.local_mode || !input.memory.target_stored || !is_idle(draft) {
        return;
    }
    let engine = &input.current.engine;
    let mut nameless = engine.images.iter().filter(|image| image.tags.is_empty() && image.digests.is_empty()).peekable();
    if nameless.peek().is_none() {
        return;
    }
    let recorded = input.memory.images.values().map(|record| record.engine_id.as_str());
    // What the target needs is found by name or by record, so it is covered by the two.
    let used: BTreeSet<&str> = recorded.chain(engine.containers.iter().map(|container| container.image_id.as_str())).collect();
    for image in nameless.filter(|image| !used.contains(image.id.as_str())) {
        let what = format!("the unused image {}", image.id);
        draft.tidy(what, Action::RemoveDangling { id: image.id.clone() }, Reason::Dangling);
    }
}

fn is_idle(draft: &Draft<'_>) -> bool {
    !draft.is_unsettled() && draft.input.current.in_flight.is_empty()
}

/// What has to stay: what the target asks for, what containers are made of, and what the way back from a trial needs.
#[derive(Default)]
pub(super) struct Kept<'a> {
    texts: BTreeSet<String>,
    digests: BTreeSet<String>,
    /// Engine ids: one content may stand under several names.
    ids: BTreeSet<&'a str>,
    /// Apps of which every image stays: refused ones, whose release goes on running, and those whose way back cannot be read.
    apps: BTreeSet<&'a str>,
}

impl<'a> Kept<'a> {
    pub fn of(input: &Input<'a>, world: &World<'a>) -> Kept<'a> {
        let mut kept = Kept::default();
        kept.apps.extend(input.target.refused.keys().map(String::as_str));
        kept.ids.extend(input.current.engine.containers.iter().map(|container| container.image_id.as_str()));
        let releases = input.target.apps.values().filter_map(|app| app.release.as_ref());
        for service in releases.flat_map(|release| release.services.values()) {
            kept.keep(&service.image, world);
        }
        let memory = input.memory;
        for (uuid, settled) in memory.settled.iter().filter(|(uuid, _)| is_gated(input, uuid)) {
            kept.keep_way_back(uuid, settled, input, world);
        }
        kept.keep_records_of_apps(memory.images.values());
        kept
    }

    /// What an app's records name stays under every other name as well: the content is the same.
    fn keep_records_of_apps(&mut self, records: impl Iterator<Item = &'a ImageRecord>) {
        for record in records.filter(|record| self.apps.contains(record.app_uuid.as_str())).collect::<Vec<_>>() {
            self.digests.extend(record.image.digest.clone());
            self.ids.insert(&record.engine_id);
        }
    }

    fn keep(&mut self, image: &ImageRef, world: &World<'a>) {
        self.texts.insert(image.to_string());
        self.digests.extend(image.digest.clone());
        self.ids.extend(world.image(image).map(|present| present.id.as_str()));
    }

    /// Keeps the settled release's images. Where it gives way to another, those are not kept that the service's strategy gives
    /// up before the download.
    fn keep_way_back(&mut self, uuid: &'a str, settled: &Settled, input: &Input<'a>, world: &World<'a>) {
        let Some(release) = app_from_document(uuid, &settled.document).and_then(|app| app.release) else {
            self.apps.insert(uuid);
            return;
        };
        let wanted = input.target.apps.get(uuid).and_then(|app| app.release.as_ref());
        let is_restored = is_restored(input, uuid, settled, wanted);
        for (name, service) in &release.services {
            let decides = wanted.and_then(|release| release.services.get(name)).unwrap_or(service);
            if is_restored || decides.strategy() != Strategy::DeleteThenDownload {
                self.keep(&service.image, world);
            }
        }
    }

    /// Whether an image that was recorded under this text has to stay.
    pub fn has(&self, text: &str, record: &ImageRecord) -> bool {
        self.texts.contains(text)
            || (!record.engine_id.is_empty() && self.ids.contains(record.engine_id.as_str()))
            || record.image.digest.as_deref().is_some_and(|digest| self.digests.contains(digest))
            || self.apps.contains(record.app_uuid.as_str())
    }
}

/// Whether the settled release is what runs and is to run: in place of a rejected one, or until an order is done. What it
/// needs would be downloaded and given up again and again otherwise, for as long as room is needed.
fn is_restored(input: &Input<'_>, uuid: &str, settled: &Settled, wanted: Option<&Release>) -> bool {
    let is_rejected =
        |release: &Release| input.memory.rejected.get(uuid).is_some_and(|rejected| rejected.commit == release.commit);
    wanted.is_some_and(is_rejected) || input.memory.orders.get(&settled.app_id).is_some_and(|order| order.as_settled)
}

/// Whether an app's release is on trial or was rejected, or an order on it is carried out, so that the settled one is needed
/// still.
fn is_gated(input: &Input<'_>, uuid: &str) -> bool {
    let memory = input.memory;
    let ordered = || memory.settled.get(uuid).is_some_and(|settled| memory.orders.contains_key(&settled.app_id));
    memory.trials.contains_key(uuid) || memory.rejected.contains_key(uuid) || ordered()
}
