//! One service: the rules of protocol §3.3 first, then its composition.

use std::collections::BTreeMap;

use super::rules;
use crate::target::compose::networks::{Names, Networking};
use crate::target::compose::{depends_on, environment, labels, mounts, networks, options, ports, unsupported};
use crate::target::reading::{Field, Findings, Section, Weight, expected};
use crate::target::{ImageRef, NetworkChoice, Service};

/// What a release defines and services refer to, by name.
pub struct Defined<'a> {
    /// `services` of the release.
    pub services: Option<Field<'a>>,
    /// `networks` of the release.
    pub networks: Option<Field<'a>>,
    /// `volumes` of the release.
    pub volumes: Option<Field<'a>>,
}

impl Defined<'_> {
    fn has(among: &Option<Field<'_>>, name: &str) -> bool {
        among.as_ref().is_some_and(|field| field.value.get(name).is_some())
    }
}

impl Names for Defined<'_> {
    fn has_network(&self, name: &str) -> bool {
        name == networks::DEFAULT_NETWORK || Defined::has(&self.networks, name)
    }

    fn has_service(&self, name: &str) -> bool {
        Defined::has(&self.services, name)
    }
}

/// Reads a service. `None` only where something it cannot be without is missing; the findings say what.
pub fn read(field: &Field<'_>, name: &str, defined: &Defined<'_>, findings: &mut Findings) -> Option<Service> {
    if !rules::is_name(name) {
        findings.refuse(field, "a service's name consists of letters, digits, _, . and -, and begins with a letter or digit");
    }
    if !field.value.is_object() {
        findings.refuse(field, expected("an object", field.value));
        return None;
    }
    let (id, image_id) = (rules::id(field, "id", findings), rules::id(field, "image_id", findings));
    let image = image(field, findings);
    let environment = texts(field, "environment", rules::is_variable, findings);
    let labels = labels::renamed(texts(field, "labels", rules::is_label, findings));
    let running = rules::flag(field, "running", findings);
    let contract = rules::object(field, "contract", findings).map(|contract| contract.value.clone());
    let mut service = Service {
        name: name.to_owned(),
        id: id.unwrap_or_default(),
        image_id: image_id.unwrap_or_default(),
        running: true,
        contract,
        ..composed(field, defined, findings)
    };
    service.image = image?;
    service.running = running.unwrap_or(service.running);
    service.environment.extend(environment);
    service.labels.extend(labels);
    service.unsupported = findings.take_unsupported();
    Some(service)
}

/// The part that stands in `composition`; who and what the service is remains to be filled in.
fn composed(field: &Field<'_>, defined: &Defined<'_>, findings: &mut Findings) -> Service {
    let nothing = serde_json::Value::Null;
    let composition = rules::object(field, "composition", findings);
    let composition = composition.unwrap_or_else(|| field.member("composition", &nothing));
    let mut section = Section::of(&composition, findings);
    let Networking { mode, networks } = networks::read(&mut section, defined);
    let mut depends_on = depends_on::read(&mut section, defined);
    if let NetworkChoice::Service(owner) = &mode {
        // Its network stack must be there first (behaviour §4.3); what was asked for in so many words stays.
        depends_on.entry(owner.clone()).or_default();
    }
    let mut service = Service {
        name: String::new(),
        id: 0,
        image_id: 0,
        image: ImageRef { host: None, name: String::new(), tag: None, digest: None },
        environment: environment::read(&mut section),
        labels: labels::read(&mut section),
        running: section.flag("running", Weight::Refuse).unwrap_or(true),
        contract: None,
        depends_on,
        network_mode: mode,
        networks,
        ports: ports::read(&mut section),
        expose: ports::expose(&mut section),
        mounts: mounts::read(&mut section, |volume| Defined::has(&defined.volumes, volume)),
        hostname: section.text("hostname", Weight::Name),
        options: options::read(&mut section),
        unsupported: Vec::new(),
    };
    section.finish(unsupported::reason);
    if let NetworkChoice::Service(owner) = &service.network_mode {
        let owner = owner.clone();
        yield_to_owner(&mut service, &owner, &composition, findings);
    }
    service
}

/// A container in the network stack of another cannot have an address, name or ports of its own: the engine would refuse
/// it. Ports refuse the app here already, the rest is left out and named.
fn yield_to_owner(service: &mut Service, owner: &str, composition: &Field<'_>, findings: &mut Findings) {
    let of_owner = || format!("with network_mode service:{owner} this belongs to {owner}");
    if !service.ports.is_empty() {
        findings.refuse_at(|| composition.path_of("ports"), of_owner());
    }
    let options = &mut service.options;
    let mut drop_and_name = |field: &str, is_given: bool| {
        if is_given {
            findings.name(&composition.member(field, composition.value), of_owner());
        }
    };
    drop_and_name("hostname", service.hostname.take().is_some());
    drop_and_name("expose", !std::mem::take(&mut service.expose).is_empty());
    drop_and_name("extra_hosts", !std::mem::take(&mut options.extra_hosts).is_empty());
    drop_and_name("dns", !std::mem::take(&mut options.dns).is_empty());
}

fn image(field: &Field<'_>, findings: &mut Findings) -> Option<ImageRef> {
    let text = rules::short_text(field, "image", findings)?;
    match text.parse() {
        Ok(image) => Some(image),
        Err(message) => {
            findings.refuse_at(|| field.path_of("image"), message);
            None
        }
    }
}

/// A required object of strings whose keys follow a rule.
fn texts(parent: &Field<'_>, key: &str, is_key: fn(&str) -> bool, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    if parent.get(key).is_none() {
        rules::missing(parent, key, "an object", findings);
    }
    let Some(field) = rules::object(parent, key, findings) else { return texts };
    for (key, member) in field.members() {
        if !is_key(key) {
            findings.refuse(&member, "its name is too long or has characters that are not allowed there");
        }
        match member.value.as_str() {
            Some(text) => drop(texts.insert(key.to_owned(), text.to_owned())),
            None => findings.refuse(&member, expected("a string", member.value)),
        }
    }
    texts
}
