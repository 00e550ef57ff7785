//! One app's containers against its release: what each service needs.

use std::collections::BTreeMap;

use super::super::draft::{Draft, World};
use super::super::findings::Finding;
use super::super::need::{Need, Present, assess, compare, is_half_removed};
use super::super::start::Candidate;
use super::super::wanted::Wanted;
use super::super::{Reason, images, networks, volumes};
use super::{Networks, Round, changing_object};
use crate::current::Container;
use crate::target::{App, Release, Service};

impl<'a> Round<'a> {
    /// Looks at everything an app has.
    pub fn of<'w: 'a>(
        draft: &mut Draft<'w>,
        world: &World<'w>,
        supervisor: &'a Networks,
        app: &'a App,
        release: &'a Release,
    ) -> Round<'a> {
        let volumes = volumes::plan_volumes(draft, world, app, release);
        let networks = networks::plan_networks(draft, world, app, release);
        let mut containers = world.of_app(app.id).to_vec();
        containers.sort_by(|a, b| a.service.cmp(&b.service));
        let mut round = Round {
            app,
            release,
            candidates: BTreeMap::new(),
            surplus: Vec::new(),
            handing_over: Vec::new(),
            supervisor,
            networks,
            volumes,
            first_install: containers.is_empty(),
        };
        // Both in the order of their services' names.
        let mut containers = containers.into_iter().peekable();
        let mut candidates = Vec::with_capacity(release.services.len());
        for (name, service) in &release.services {
            while let Some(container) = containers.next_if(|container| container.service < *name) {
                round.surplus.push((container, Reason::NotWantedAnyMore));
            }
            let mut own = Vec::new();
            while let Some(container) = containers.next_if(|container| container.service == *name) {
                own.push(container);
            }
            let present = round.tell_apart(Present::of(own));
            candidates.push((name.as_str(), candidate(draft, world, app, release, service, present)));
        }
        round.surplus.extend(containers.map(|container| (container, Reason::NotWantedAnyMore)));
        round.candidates = candidates.into_iter().collect();
        round.assess(draft);
        round
    }

    /// Tells a service's containers apart and returns the one that counts.
    fn tell_apart(&mut self, present: Present<'a>) -> Option<&'a Container> {
        for other in present.others {
            match present.newest {
                Some(new) if other.handing_over && !new.handing_over => self.handing_over.push((other, new)),
                _ => self.surplus.push((other, Reason::Duplicate)),
            }
        }
        present.newest
    }

    /// Decides what each service needs. A container that shares another's network stack goes with it.
    fn assess(&mut self, draft: &mut Draft<'_>) {
        self.find_partners();
        // Findings hold for the apps of the target as they stand in it, not for a release that stands in for another.
        let is_of_target = draft.input.target.apps.get(&self.app.uuid).is_some_and(|own| std::ptr::eq(own, self.app));
        let mut known = if is_of_target { draft.findings.take(&self.app.uuid) } else { Vec::new() };
        known.resize(self.candidates.len(), None);
        for (candidate, known) in self.candidates.values_mut().zip(&mut known) {
            let Some(container) = candidate.present else { continue };
            if is_half_removed(container) {
                candidate.need = Need::Bury(container);
                continue;
            }
            candidate.need = match compare(container, &candidate.wanted, known.take()) {
                Err(fields) => Need::Replace(container, Reason::Changed { fields }),
                Ok(finding) => {
                    candidate.unkept.clone_from(&finding.unkept);
                    let Finding { is_named, .. } = *known.insert(finding);
                    match changing_object(container, &[&self.networks, self.supervisor], &self.volumes) {
                        Some(what) => Need::Replace(container, Reason::Changed { fields: vec![what] }),
                        None => assess(candidate.service, container, is_named, candidate.stopped),
                    }
                }
            };
        }
        if is_of_target {
            draft.findings.keep(&self.app.uuid, known);
        }
    }

    /// Finds the containers whose network stack others share.
    fn find_partners(&mut self) {
        let sharing = self.candidates.values().filter_map(|candidate| candidate.wanted.partner_service());
        let present = |name: &'a str| Some((name, self.candidates.get(name)?.present?.id.as_str()));
        let partners: BTreeMap<&str, &str> = sharing.filter_map(present).collect();
        if partners.is_empty() {
            return;
        }
        for candidate in self.candidates.values_mut() {
            candidate.wanted.partner = candidate.wanted.partner_service().and_then(|name| partners.get(name)).copied();
        }
    }
}

/// One service with its container and its image.
fn candidate<'a, 'w: 'a>(
    draft: &mut Draft<'w>,
    world: &World<'w>,
    app: &'a App,
    release: &'a Release,
    service: &'a Service,
    present: Option<&'a Container>,
) -> Candidate<'a> {
    let input = draft.input;
    let image = world.image(&service.image);
    let recorded = input.memory.images.get(&service.image.to_string()).map(|record| record.engine_id.as_str());
    if let Some(image) = image.filter(|image| recorded != Some(image.id.as_str())) {
        images::adopt(draft, app, service, image);
    }
    let engine_image = image.map(|image| image.id.as_str()).or(recorded.filter(|id| !id.is_empty()));
    Candidate {
        service,
        present,
        wanted: Wanted::new(app, release, service, input.facts, engine_image),
        need: Need::Install,
        unkept: Vec::new(),
        has_image: image.is_some(),
        stopped: !input.memory.stops.is_empty() && input.memory.stops.contains(&(app.id, service.name.clone())),
    }
}
