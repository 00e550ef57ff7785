//! What planning found out about containers, kept from round to round. A container that has not changed since it was found
//! to be as wanted need not be compared again.
//!
//! Nothing is kept that could not be found out anew: a plan made with findings is the plan made without.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wanted::Wanted;
use super::{Input, Plan};
use crate::container::{ContainerSpec, ImageConfig};
use crate::current::Container;
use crate::facts::Facts;
use crate::target::{AppUuid, DeviceTarget};

/// Plans round after round.
#[derive(Debug, Default)]
pub struct Planner {
    /// What the findings hold for.
    target: Arc<DeviceTarget>,
    facts: Facts,
    findings: Findings,
}

impl Planner {
    /// Plans one round: the same plan as [`super::plan`] makes of `input`, whose target is `target`.
    pub fn plan(&mut self, target: &Arc<DeviceTarget>, input: &Input<'_>) -> Plan {
        let holds = Arc::ptr_eq(&self.target, target) && self.facts == *input.facts;
        if !holds {
            *self = Planner { target: target.clone(), facts: input.facts.clone(), findings: Findings::default() };
        }
        let (plan, findings) = super::plan_on(&Input { target, ..*input }, std::mem::take(&mut self.findings));
        self.findings = findings;
        plan
    }
}

/// Findings by app, in the order of its release's services.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<AppUuid, Vec<Option<Finding>>>);

/// A container that is as its service asks.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    container: String,
    // Held, so that nothing else can come to lie at their place.
    spec: Arc<ContainerSpec>,
    image: Option<Arc<ImageConfig>>,
    engine_image: Option<String>,
    partner: Option<String>,
    /// Its name is that of the wanted release.
    pub is_named: bool,
    /// Fields the engine did not keep.
    pub unkept: Vec<String>,
}

impl Findings {
    /// Takes out what is known of an app.
    pub fn take(&mut self, app: &AppUuid) -> Vec<Option<Finding>> {
        self.0.remove(app).unwrap_or_default()
    }

    /// Keeps what is known of an app.
    pub fn keep(&mut self, app: &AppUuid, findings: Vec<Option<Finding>>) {
        self.0.insert(app.clone(), findings);
    }
}

impl Finding {
    /// A container and a wish that were compared.
    pub fn of(present: &Container, wanted: &Wanted<'_>, is_named: bool, unkept: Vec<String>) -> Finding {
        Finding {
            container: present.id.clone(),
            spec: present.spec.clone(),
            image: present.image_config.clone(),
            engine_image: wanted.engine_image.map(str::to_owned),
            partner: wanted.partner.map(str::to_owned),
            is_named,
            unkept,
        }
    }

    /// Whether it is about the same container and the same wish, both unchanged.
    pub fn holds(&self, present: &Container, wanted: &Wanted<'_>) -> bool {
        let is_same_image = match (&self.image, &present.image_config) {
            (Some(was), Some(is)) => Arc::ptr_eq(was, is),
            (None, None) => true,
            _ => false,
        };
        is_same_image
            && Arc::ptr_eq(&self.spec, &present.spec)
            && self.container == present.id
            && self.engine_image.as_deref() == wanted.engine_image
            && self.partner.as_deref() == wanted.partner
    }
}
