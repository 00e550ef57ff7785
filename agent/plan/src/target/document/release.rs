//! One release: its services, networks and volumes, and what refers to what.

use super::order::circles;
use super::rules;
use super::service::{self, Defined};
use crate::target::compose::definitions;
use crate::target::compose::networks::DEFAULT_NETWORK;
use crate::target::reading::{Field, Findings, expected};
use crate::target::{NetworkChoice, NetworkSpec, Release};

/// Reads a release. It is only good when the findings are.
pub fn read(field: &Field<'_>, commit: &str, findings: &mut Findings) -> Release {
    if !rules::is_short(commit) {
        findings.refuse(field, format!("its name is longer than {} characters", rules::LONGEST));
    }
    if !field.value.is_object() {
        findings.refuse(field, expected("an object", field.value));
        return Release::default();
    }
    let defined = Defined {
        services: rules::object(field, "services", findings),
        networks: rules::object(field, "networks", findings),
        volumes: rules::object(field, "volumes", findings),
    };
    let mut release =
        Release { commit: commit.to_owned(), id: rules::id(field, "id", findings).unwrap_or_default(), ..Release::default() };
    definitions(&defined, &mut release, findings);
    release.unsupported = findings.take_unsupported();
    for (name, member) in defined.services.iter().flat_map(Field::members) {
        let read = service::read(&member, name, &defined, findings);
        release.services.extend(read.map(|service| (name.to_owned(), service)));
    }
    refuse_circles(field, &release, findings);
    add_default_network(&mut release);
    release
}

fn definitions(defined: &Defined<'_>, release: &mut Release, findings: &mut Findings) {
    for (name, member) in defined.networks.iter().flat_map(Field::members) {
        if is_definition(name, &member, findings) {
            release.networks.insert(name.to_owned(), definitions::network(&member, findings));
        }
    }
    for (name, member) in defined.volumes.iter().flat_map(Field::members) {
        if is_definition(name, &member, findings) {
            release.volumes.insert(name.to_owned(), definitions::volume(&member, findings));
        }
    }
}

fn is_definition(name: &str, member: &Field<'_>, findings: &mut Findings) -> bool {
    if !rules::is_name(name) {
        findings.refuse(member, "its name consists of letters, digits, _, . and -, and begins with a letter or digit");
    }
    if !member.value.is_object() {
        findings.refuse(member, expected("an object", member.value));
    }
    member.value.is_object()
}

fn refuse_circles(field: &Field<'_>, release: &Release, findings: &mut Findings) {
    for circle in circles(&release.services) {
        let (first, next) = (circle[0], circle.get(1).copied().unwrap_or(circle[0]));
        let through_network = release.services[first].network_mode == NetworkChoice::Service(next.to_owned());
        let place = if through_network { "network_mode" } else { "depends_on" };
        let path = || format!("{}.{first}.composition.{place}", field.path_of("services"));
        findings.refuse_at(path, format!("services wait for each other in a circle: {} → {first}", circle.join(" → ")));
    }
}

/// Every release has a default network; where nothing would ever join it, it is a configuration only (behaviour §3.1).
fn add_default_network(release: &mut Release) {
    let config_only = release.services.values().all(|service| service.network_mode == NetworkChoice::Host);
    let default = || NetworkSpec { config_only, ..NetworkSpec::default() };
    release.networks.entry(DEFAULT_NETWORK.into()).or_insert_with(default);
}
