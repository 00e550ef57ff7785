//! A plan being written, and the indexes over the present that planning reads.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::step::{AWAY, LOCK_KEY, app_place};
use super::{Action, HoldVerdict, Input, OrderVerdict, Plan, Reason, Step, Wait};
use crate::current::{Container, Image, Network, Volume};
use crate::memory::{Failure, ImageRecord};
use crate::target::{AppId, ImageRef};

/// How many images are pulled at a time.
pub(super) const MAX_FETCHES: usize = 3;

/// The present, indexed once a round.
pub(super) struct World<'a> {
    pub containers: BTreeMap<AppId, Vec<&'a Container>>,
    pub networks: BTreeMap<&'a str, Vec<&'a Network>>,
    pub volumes: BTreeMap<&'a str, &'a Volume>,
    by_digest: BTreeMap<&'a str, &'a Image>,
    // Each made when first asked for: where images are known by their digests nobody does.
    by_tag: OnceCell<BTreeMap<&'a str, &'a Image>>,
    by_id: OnceCell<BTreeMap<&'a str, &'a Image>>,
    recorded_by_digest: OnceCell<BTreeMap<&'a str, &'a str>>,
    images: &'a [Image],
    records: &'a BTreeMap<String, ImageRecord>,
}

impl<'a> World<'a> {
    pub fn of(input: &Input<'a>) -> World<'a> {
        let engine = &input.current.engine;
        let mut world = World {
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: engine.volumes.iter().map(|v| (v.name.as_str(), v)).collect(),
            by_digest: engine.images.iter().flat_map(digests_of).collect(),
            by_tag: OnceCell::new(),
            by_id: OnceCell::new(),
            recorded_by_digest: OnceCell::new(),
            images: &engine.images,
            records: &input.memory.images,
        };
        for container in &engine.containers {
            world.containers.entry(container.app_id).or_default().push(container);
        }
        for network in &engine.networks {
            world.networks.entry(&network.name).or_default().push(network);
        }
        world
    }

    /// The engine's image for a reference: by digest, by tag, or by what was recorded for the same digest (protocol §11).
    pub fn image(&self, image: &ImageRef) -> Option<&'a Image> {
        match &image.digest {
            Some(digest) => self.by_digest.get(digest.as_str()).copied().or_else(|| self.recorded_by_digest(digest)),
            None => {
                let text = image.to_string();
                let of_tag = |image: &'a Image| image.tags.iter().map(move |tag| (tag.as_str(), image));
                let by_tag = self.by_tag.get_or_init(|| self.images.iter().flat_map(of_tag).collect());
                by_tag.get(text.as_str()).copied().or_else(|| self.image_by_id(&self.records.get(&text)?.engine_id))
            }
        }
    }

    /// The image that was recorded for this digest, whatever its name was.
    fn recorded_by_digest(&self, digest: &str) -> Option<&'a Image> {
        let recorded = self.recorded_by_digest.get_or_init(|| {
            let known = self.records.values().filter(|record| !record.engine_id.is_empty());
            known.filter_map(|record| Some((record.image.digest.as_deref()?, record.engine_id.as_str()))).collect()
        });
        self.image_by_id(recorded.get(digest)?)
    }

    /// An image by its engine id.
    pub fn image_by_id(&self, id: &str) -> Option<&'a Image> {
        let by_id = self.by_id.get_or_init(|| self.images.iter().map(|image| (image.id.as_str(), image)).collect());
        by_id.get(id).copied()
    }

    /// Containers of an app.
    pub fn of_app(&self, app: AppId) -> &[&'a Container] {
        self.containers.get(&app).map_or(&[], Vec::as_slice)
    }
}

/// The digests an image is known by.
fn digests_of(image: &Image) -> impl Iterator<Item = (&str, &Image)> {
    image.digests.iter().filter_map(|text| text.split_once('@')).map(move |(_, digest)| (digest, image))
}

/// The plan being written.
pub(super) struct Draft<'a> {
    pub input: Input<'a>,
    pub findings: Findings,
    plan: Plan,
    keys: BTreeSet<String>,
    /// Services whose containers this plan works on already.
    places: BTreeSet<String>,
    fetches: usize,
    /// Apps that are left as they are while a volume of theirs is copied.
    frozen: BTreeSet<AppId>,
    /// Set when a step was wanted, whether it could be taken now or not.
    unsettled: bool,
}

impl<'a> Draft<'a> {
    pub fn new(input: Input<'a>, findings: Findings) -> Draft<'a> {
        let fetches = input.current.in_flight.keys().filter(|key| key.starts_with("fetch ")).count();
        Draft {
            input,
            findings,
            plan: Plan::default(),
            keys: BTreeSet::new(),
            places: BTreeSet::new(),
            fetches,
            frozen: BTreeSet::new(),
            unsettled: false,
        }
    }

    /// Leaves an app as it is for this round.
    pub fn freeze(&mut self, app: AppId) {
        self.frozen.insert(app);
    }

    /// Whether an app is left as it is in this round.
    pub fn is_frozen(&self, app: AppId) -> bool {
        self.frozen.contains(&app)
    }

    /// Says how it stands with the volume that is to be kept from its services.
    pub fn hold(&mut self, verdict: HoldVerdict) {
        self.plan.hold = Some(verdict);
    }

    /// Says how an order on an app ended.
    pub fn order(&mut self, app: AppId, verdict: OrderVerdict) {
        self.plan.orders.push((app, verdict));
    }

    /// Whether a step runs now whose key begins like this.
    pub fn runs(&self, beginning: &str) -> bool {
        let from = (std::ops::Bound::Included(beginning), std::ops::Bound::Unbounded);
        self.input.current.in_flight.range::<str, _>(from).next().is_some_and(|(key, _)| key.starts_with(beginning))
    }

    /// Whether steps on an app's containers run now, maybe on account of an earlier target: what the engine shows of them
    /// is about to change.
    pub fn is_at_work_on(&self, app: AppId) -> bool {
        self.runs(&app_place(app))
    }

    /// Whether this plan has steps on an app's containers.
    pub fn plans_work_on(&self, app: AppId) -> bool {
        let place = app_place(app);
        self.places.iter().any(|planned| planned.starts_with(&place))
    }

    /// Whether this plan has a step with this key.
    pub fn plans(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Adds a step, unless it runs already, stands in the plan already, or failed and has to wait for its next try. One
    /// step at a time works on the containers of a service.
    pub fn step(&mut self, app: Option<&str>, service: Option<&str>, action: Action, why: Reason) {
        self.unsettled = true;
        let step = Step { action, app: app.map(str::to_owned), service: service.map(str::to_owned), why };
        let key = step.key();
        // It goes in order to be made anew, maybe: then what failed before still counts.
        if let Some(making) = key.strip_suffix(AWAY) {
            self.postpone(making.to_owned());
        }
        if self.input.current.in_flight.contains_key(&key) || self.keys.contains(&key) {
            return;
        }
        let place = step.place();
        if place.as_ref().is_some_and(|place| self.runs(place) || self.places.contains(place)) {
            return self.postpone(key);
        }
        if let Some(failure) = self.waits_for_retry(&key) {
            let retry =
                Reason::Retry { error: failure.error.clone(), count: failure.count, retry_boot_ms: failure.retry_boot_ms };
            self.wake(failure.retry_boot_ms);
            self.wait(app.unwrap_or("device"), service, retry);
            return self.postpone(key);
        }
        if matches!(step.action, Action::Fetch { .. }) {
            if self.fetches >= MAX_FETCHES {
                self.wait(app.unwrap_or("device"), service, Reason::WaitingForTurn { at_a_time: MAX_FETCHES });
                return self.postpone(key);
            }
            self.fetches += 1;
        }
        self.places.extend(place);
        self.keys.insert(key);
        self.plan.steps.push(step);
    }

    /// Adds a step that only tidies up: the device is where it should be without it. One that failed is left alone until its
    /// next try, which is worth a note and no more.
    pub fn tidy(&mut self, what: String, action: Action, why: Reason) {
        let step = Step { action, app: None, service: None, why };
        let key = step.key();
        if let Some(failure) = self.waits_for_retry(&key) {
            let (error, retry_boot_ms) = (failure.error.clone(), failure.retry_boot_ms);
            self.wake(retry_boot_ms);
            self.postpone(key);
            return self.note("device", None, Reason::LeftForNow { what, error, retry_boot_ms });
        }
        if self.keys.insert(key) {
            self.plan.steps.push(step);
        }
    }

    /// A step is wanted and not taken now: what is known of its failures stays known.
    pub fn postpone(&mut self, key: String) {
        // Nobody asks for a step that never failed.
        if self.input.memory.failures.contains_key(&key) {
            self.plan.postponed.push(key);
        }
    }

    /// The failure of a step whose next try is not due yet.
    fn waits_for_retry(&self, key: &str) -> Option<&'a Failure> {
        self.input.memory.failures.get(key).filter(|failure| failure.retry_boot_ms > self.input.now.boot_ms)
    }

    /// Notes what is not done now; keeps the app from settling.
    pub fn wait(&mut self, app: &str, service: Option<&str>, reason: Reason) {
        self.unsettled = true;
        self.note(app, service, reason);
    }

    /// Notes something that is as it should be but that a person wants to know.
    pub fn note(&mut self, app: &str, service: Option<&str>, reason: Reason) {
        self.plan.waiting.push(Wait { app: app.to_owned(), service: service.map(str::to_owned), reason });
    }

    /// The plan may change at this time since boot.
    pub fn wake(&mut self, boot_ms: i64) {
        self.plan.wake_boot_ms = Some(self.plan.wake_boot_ms.map_or(boot_ms, |at| at.min(boot_ms)));
    }

    /// The plan may change at this wall-clock time, given that the clock is trusted.
    pub fn wake_at_wall(&mut self, wall_ms: i64) {
        if let Some(now) = self.input.now.wall_ms {
            self.wake(self.input.now.boot_ms + (wall_ms - now).max(0));
        }
    }

    /// Drops a running step that nobody wants.
    pub fn cancel(&mut self, key: &str) {
        self.plan.cancel.push(key.to_owned());
    }

    /// Runs a part of the planning and tells whether it wanted or waited for anything.
    pub fn unsettled_by(&mut self, part: impl FnOnce(&mut Self)) -> bool {
        let before = std::mem::replace(&mut self.unsettled, false);
        part(self);
        let during = self.unsettled;
        self.unsettled = before || during;
        during
    }

    /// Whether any step has been wanted so far.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Whether nothing is done or about to be done beside taking locks and giving them back.
    pub fn is_quiet(&self) -> bool {
        let hands_over = |wait: &Wait| matches!(wait.reason, Reason::WaitingForHandOver { .. });
        self.plan.steps.iter().all(|step| matches!(step.action, Action::ReleaseLock { .. }))
            && self.input.current.in_flight.keys().all(|key| key.starts_with(LOCK_KEY))
            && !self.plan.waiting.iter().any(hands_over)
    }

    /// Keeps the locks that were to be given back.
    pub fn drop_releases(&mut self) {
        let keys = &mut self.keys;
        self.plan.steps.retain(|step| {
            let release = matches!(step.action, Action::ReleaseLock { .. });
            if release {
                keys.remove(&step.key());
            }
            !release
        });
    }

    /// The plan, and what was found out on the way.
    pub fn finish(self) -> (Plan, Findings) {
        (self.plan, self.findings)
    }
}

#[cfg(test)]
mod tests;
