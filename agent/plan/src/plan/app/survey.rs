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
        images::adopt(draft, world, app, release);
        let volumes = volumes::plan_volumes(draft, world, app, release);
        let networks = networks::plan_networks(draft, world, app, release);
        let mut by_service: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
        for container in world.of_app(app.id) {
            by_service.entry(&container.service).or_default().push(container);
        }
        let mut round = Round {
            app,
            release,
            candidates: BTreeMap::new(),
            surplus: Vec::new(),
            handing_over: Vec::new(),
            supervisor,
            networks,
            volumes,
            first_install: by_service.is_empty(),
        };
        for service in release.services.values() {
            let containers = by_service.remove(service.name.as_str()).unwrap_or_default();
            round.add(draft, world, service, Present::of(containers));
        }
        let removed = by_service.into_values().flatten().map(|container| (container, Reason::NotWantedAnyMore));
        round.surplus.extend(removed);
        round.assess(draft);
        round
    }

    /// Takes in one service and tells its containers apart.
    fn add<'w: 'a>(&mut self, draft: &Draft<'w>, world: &World<'w>, service: &'a Service, present: Present<'a>) {
        for other in present.others {
            match present.newest {
                Some(new) if other.handing_over && !new.handing_over => self.handing_over.push((other, new)),
                _ => self.surplus.push((other, Reason::Duplicate)),
            }
        }
        let input = draft.input;
        let image = world.image(&service.image);
        let engine_image = image.map(|image| image.id.as_str()).or_else(|| {
            let recorded = input.memory.images.get(&service.image.to_string()).map(|record| record.engine_id.as_str());
            recorded.filter(|id| !id.is_empty())
        });
        let candidate = Candidate {
            service,
            present: present.newest,
            wanted: Wanted::new(self.app, self.release, service, input.facts, engine_image),
            need: Need::Install,
            unkept: Vec::new(),
            has_image: image.is_some(),
            stopped: !input.memory.stops.is_empty() && input.memory.stops.contains(&(self.app.id, service.name.clone())),
        };
        self.candidates.insert(&service.name, candidate);
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
