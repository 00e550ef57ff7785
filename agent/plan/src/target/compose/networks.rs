//! `network_mode` and `networks` of a service (behaviour §4.3).

use std::collections::{BTreeMap, BTreeSet};

use crate::container::SUPERVISOR_NETWORK;
use crate::target::reading::{Field, Findings, Section, Weight, expected, string};
use crate::target::{NetworkChoice, ServiceNetwork};

/// The network every release has.
pub const DEFAULT_NETWORK: &str = "default";

/// What a service says about networks.
pub struct Networking {
    /// Which network stack.
    pub mode: NetworkChoice,
    /// Networks it joins; empty unless `mode` is a network.
    pub networks: BTreeMap<String, ServiceNetwork>,
}

/// Which names a service may refer to.
pub trait Names {
    /// Whether the release has this network.
    fn has_network(&self, name: &str) -> bool;
    /// Whether the release has this service.
    fn has_service(&self, name: &str) -> bool;
}

/// Reads both. A wrong network refuses the app: its services would not find each other.
pub fn read(section: &mut Section<'_, '_>, names: &impl Names) -> Networking {
    let listed_at = section.take("networks");
    let mode_at = section.take("network_mode");
    let mut networks = BTreeMap::new();
    let mut first = None;
    if let Some(field) = &listed_at {
        first = listed(field, &mut networks, names, section.findings);
    }
    let asked = mode_at.as_ref().and_then(|field| asked_mode(field, names, section.findings));
    let mode = asked.unwrap_or_else(|| NetworkChoice::Network(first.unwrap_or_else(|| DEFAULT_NETWORK.into())));
    match &mode {
        NetworkChoice::Network(main) => {
            networks.entry(main.clone()).or_default();
        }
        _ => {
            // `default` alone is what tools write down for "nothing said".
            if let Some(field) = listed_at.filter(|_| networks.keys().any(|name| name != DEFAULT_NETWORK)) {
                section.findings.name(&field, "the service's network_mode leaves no room for networks");
            }
            networks.clear();
        }
    }
    Networking { mode, networks }
}

/// `None`: as if nothing had been said.
fn asked_mode(field: &Field<'_>, names: &impl Names, findings: &mut Findings) -> Option<NetworkChoice> {
    let Some(mode) = string(field.value) else {
        findings.refuse(field, expected("a string", field.value));
        return None;
    };
    Some(match mode {
        "" => return None,
        "host" => NetworkChoice::Host,
        "none" => NetworkChoice::None,
        "bridge" => NetworkChoice::Bridge,
        _ => {
            if let Some(service) = mode.strip_prefix("service:") {
                if !names.has_service(service) {
                    findings.refuse(field, format!("the release has no service {service}"));
                }
                return Some(NetworkChoice::Service(service.to_owned()));
            }
            if mode.starts_with("container:") {
                findings.name(field, "containers are made by the agent, so their names cannot be known; use service:<name>");
                return None;
            }
            if !names.has_network(mode) {
                findings.refuse(field, format!("the release has no network {mode}"));
            }
            NetworkChoice::Network(mode.to_owned())
        }
    })
}

/// Reads the networks a service lists and says which comes first.
fn listed(
    field: &Field<'_>,
    networks: &mut BTreeMap<String, ServiceNetwork>,
    names: &impl Names,
    findings: &mut Findings,
) -> Option<String> {
    if !field.value.is_array() && !field.value.is_object() {
        findings.refuse(field, expected("a list or an object of networks", field.value));
    }
    let mut first = None;
    let mut join = |at: &Field<'_>, name: &str, network: ServiceNetwork, findings: &mut Findings| {
        if name == SUPERVISOR_NETWORK {
            return findings.name(at, "this network is joined through the label io.balena.features.supervisor-api");
        }
        if !names.has_network(name) {
            return findings.refuse(at, format!("the release has no network {name}"));
        }
        first.get_or_insert_with(|| name.to_owned());
        networks.insert(name.to_owned(), network);
    };
    for item in field.items() {
        match string(item.value) {
            Some(name) => join(&item, name, ServiceNetwork::default(), findings),
            None => findings.refuse(&item, expected("the name of a network", item.value)),
        }
    }
    for (name, member) in field.members() {
        let network = membership(&member, findings);
        join(&member, name, network, findings);
    }
    first
}

fn membership(field: &Field<'_>, findings: &mut Findings) -> ServiceNetwork {
    if !field.value.is_null() && !field.value.is_object() {
        findings.refuse(field, expected("an object", field.value));
    }
    let mut parts = Section::of(field, findings);
    let network = ServiceNetwork {
        aliases: parts.list("aliases", Weight::Refuse).into_iter().collect(),
        ipv4_address: address::<core::net::Ipv4Addr>(&mut parts, "ipv4_address"),
        ipv6_address: address::<core::net::Ipv6Addr>(&mut parts, "ipv6_address"),
        link_local_ips: link_local(&mut parts),
    };
    parts.finish(|key| match key {
        "mac_address" => Some("the engine's API 1.41 cannot set it"),
        _ => None,
    });
    network
}

fn address<A: core::str::FromStr>(parts: &mut Section<'_, '_>, name: &str) -> Option<String> {
    let field = parts.take(name)?;
    let address = string(field.value).filter(|text| text.parse::<A>().is_ok());
    if address.is_none() {
        parts.expected(Weight::Refuse, &field, "an IP address of its kind");
    }
    address.map(str::to_owned)
}

fn link_local(parts: &mut Section<'_, '_>) -> BTreeSet<String> {
    let Some(field) = parts.take("link_local_ips") else { return BTreeSet::new() };
    let addresses = crate::target::reading::texts(&field, Weight::Refuse, parts.findings);
    if addresses.iter().any(|text| text.parse::<core::net::IpAddr>().is_err()) {
        parts.findings.refuse(&field, "one of them is not an IP address");
    }
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Known;

    impl Names for Known {
        fn has_network(&self, name: &str) -> bool {
            matches!(name, "default" | "front" | "back")
        }
        fn has_service(&self, name: &str) -> bool {
            name == "vpn"
        }
    }

    fn networking(service: Value) -> (NetworkChoice, Vec<String>, Vec<String>, Vec<String>) {
        let (root, mut findings) = (Field::root(&service), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings), &Known);
        let named = findings.take_unsupported().iter().map(|offence| offence.path.clone()).collect();
        let refused = findings.into_offences().iter().map(|offence| offence.path.clone()).collect();
        (read.mode, read.networks.into_keys().collect(), named, refused)
    }

    #[test]
    fn modes_and_networks() {
        let network = |name: &str| NetworkChoice::Network(name.into());
        for (service, mode, networks) in [
            (json!({}), network("default"), vec!["default"]),
            (json!({"networks": null}), network("default"), vec!["default"]),
            (json!({"networks": {}}), network("default"), vec!["default"]),
            (json!({"networks": ["front", "back"]}), network("front"), vec!["back", "front"]),
            (json!({"networks": {"front": null, "back": {}}}), network("front"), vec!["back", "front"]),
            (json!({"network_mode": "back", "networks": ["front"]}), network("back"), vec!["back", "front"]),
            (json!({"networkMode": "host"}), NetworkChoice::Host, vec![]),
            (json!({"network_mode": "host", "networks": {"default": null}}), NetworkChoice::Host, vec![]),
            (json!({"network_mode": "none"}), NetworkChoice::None, vec![]),
            (json!({"network_mode": "bridge"}), NetworkChoice::Bridge, vec![]),
            (json!({"network_mode": "service:vpn"}), NetworkChoice::Service("vpn".into()), vec![]),
            (json!({"network_mode": ""}), network("default"), vec!["default"]),
        ] {
            let (read, joined, named, refused) = networking(service.clone());
            assert_eq!((read, joined), (mode, networks.into_iter().map(str::to_owned).collect()), "{service}");
            assert_eq!((named.len(), refused.len()), (0, 0), "{service}");
        }
    }

    #[test]
    fn named_and_refused() {
        for (service, path) in [
            (json!({"network_mode": "container:x"}), "network_mode"),
            (json!({"network_mode": "host", "networks": ["front"]}), "networks"),
            (json!({"networks": ["supervisor0"]}), "networks[0]"),
            (json!({"networks": {"front": {"priority": 1}}}), "networks.front.priority"),
        ] {
            let (_, _, named, refused) = networking(service.clone());
            assert_eq!((named, refused), (vec![path.to_owned()], vec![]), "{service}");
        }
        for (service, path) in [
            (json!({"network_mode": "gone"}), "network_mode"),
            (json!({"network_mode": "service:gone"}), "network_mode"),
            (json!({"network_mode": 5}), "network_mode"),
            (json!({"networks": ["front", "gone"]}), "networks[1]"),
            (json!({"networks": {"gone": null}}), "networks.gone"),
            (json!({"networks": "front"}), "networks"),
            (json!({"networks": {"front": {"ipv4_address": "10.0.0.300"}}}), "networks.front.ipv4_address"),
            (json!({"networks": {"front": {"ipv6Address": "10.0.0.3"}}}), "networks.front.ipv6Address"),
            (json!({"networks": {"front": {"link_local_ips": ["x"]}}}), "networks.front.link_local_ips"),
        ] {
            let (_, _, named, refused) = networking(service.clone());
            assert_eq!((named, refused), (vec![], vec![path.to_owned()]), "{service}");
        }
    }

    #[test]
    fn membership_details() {
        let service =
            json!({"networks": {"front": {"aliases": ["a", "b"], "ipv4Address": "10.0.0.3", "ipv6_address": "fd00::3"}}});
        let (root, mut findings) = (Field::root(&service), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings), &Known);
        let front = &read.networks["front"];
        assert_eq!(front.aliases, BTreeSet::from(["a".into(), "b".into()]));
        assert_eq!((front.ipv4_address.as_deref(), front.ipv6_address.as_deref()), (Some("10.0.0.3"), Some("fd00::3")));
    }
}
