//! The container a service asks for, worked out when somebody first asks.

use std::cell::OnceCell;

use super::Action;
use crate::container::{ContainerSpec, NetworkMode, container_name, specify};
use crate::facts::Facts;
use crate::target::{App, NetworkChoice, Release, Service};

/// A wish, with everything the container depends on.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub app: &'a App,
    pub release: &'a Release,
    pub service: &'a Service,
    pub facts: &'a Facts,
    /// The engine's id of the image, where known.
    pub engine_image: Option<&'a str>,
    /// The container whose network stack it shares, where there is one.
    pub partner: Option<&'a str>,
    spec: OnceCell<ContainerSpec>,
}

impl<'a> Wanted<'a> {
    pub fn new(
        app: &'a App,
        release: &'a Release,
        service: &'a Service,
        facts: &'a Facts,
        engine_image: Option<&'a str>,
    ) -> Wanted<'a> {
        Wanted { app, release, service, facts, engine_image, partner: None, spec: OnceCell::new() }
    }

    /// The service whose network stack it shares.
    pub fn partner_service(&self) -> Option<&'a str> {
        match &self.service.network_mode {
            NetworkChoice::Service(name) => Some(name),
            _ => None,
        }
    }

    /// The whole specification.
    pub fn spec(&self) -> &ContainerSpec {
        self.spec.get_or_init(|| {
            let mut spec = specify(self.app, self.release, self.service, self.facts, self.engine_image);
            if let Some(id) = self.partner {
                spec.network_mode = NetworkMode::Container(id.to_owned());
            }
            spec
        })
    }

    /// Its name in the engine.
    pub fn name(&self) -> String {
        container_name(self.release, self.service)
    }

    /// The step that makes it.
    pub fn creation(&self, start: bool) -> Action {
        Action::Create { spec: Box::new(self.spec().clone()), start }
    }
}
