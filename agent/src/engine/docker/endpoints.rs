//! How containers take part in networks, and their network mode, in both directions.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{EndpointIpamConfig, EndpointSettings};
use holdfast_plan::container::{Endpoint, NetworkMode};

/// Length of the short form of a container id.
const SHORT_ID: usize = 12;

/// Networks every engine has: what they say is said by the network mode already.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// What a container says to a network when it joins.
pub(super) fn endpoint_out(endpoint: &Endpoint) -> EndpointSettings {
    let ipam = EndpointIpamConfig {
        ipv4_address: endpoint.ipv4_address.clone(),
        ipv6_address: endpoint.ipv6_address.clone(),
        link_local_ips: some_list(&endpoint.link_local_ips),
    };
    EndpointSettings {
        aliases: some_list(&endpoint.aliases),
        ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
        ..EndpointSettings::default()
    }
}

fn some_list<'a>(items: impl IntoIterator<Item = &'a String>) -> Option<Vec<String>> {
    let list: Vec<String> = items.into_iter().cloned().collect();
    (!list.is_empty()).then_some(list)
}

/// The networks a container is in. Addresses are those asked for, not those the engine gave.
pub(super) fn endpoints_in(id: &str, networks: Option<&HashMap<String, EndpointSettings>>) -> BTreeMap<String, Endpoint> {
    let networks = networks.into_iter().flatten().filter(|(name, _)| !BUILT_IN.contains(&name.as_str()));
    networks.map(|(name, settings)| (name.clone(), endpoint_in(id, settings))).collect()
}

fn endpoint_in(id: &str, settings: &EndpointSettings) -> Endpoint {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let given = |address: Option<String>| address.filter(|text| !text.is_empty());
    Endpoint {
        aliases: settings.aliases.iter().flatten().filter(|alias| !is_id_of(alias, id)).cloned().collect(),
        ipv4_address: given(ipam.ipv4_address),
        ipv6_address: given(ipam.ipv6_address),
        link_local_ips: ipam.link_local_ips.into_iter().flatten().collect(),
    }
}

/// Whether a name is the container's id, whole or in its short form.
pub(super) fn is_id_of(name: &str, id: &str) -> bool {
    name == id || (name.len() == SHORT_ID && id.starts_with(name))
}

/// The engine's word for a network mode; `Err` names the service whose container has to be known first.
pub(super) fn network_mode_out(mode: &NetworkMode) -> Result<String, &str> {
    match mode {
        NetworkMode::Host => Ok("host".into()),
        NetworkMode::None => Ok("none".into()),
        NetworkMode::Bridge => Ok("bridge".into()),
        NetworkMode::Network(name) => Ok(name.clone()),
        NetworkMode::Container(id) => Ok(format!("container:{id}")),
        NetworkMode::Service(service) => Err(service),
    }
}

/// Reads the engine's word for a network mode.
pub(super) fn network_mode_in(mode: &str) -> NetworkMode {
    match mode {
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        "" | "bridge" | "default" => NetworkMode::Bridge,
        other => match other.strip_prefix("container:") {
            Some(id) => NetworkMode::Container(id.to_owned()),
            None => NetworkMode::Network(other.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn endpoints_come_back_as_they_went() {
        let endpoint = Endpoint {
            aliases: ["main".to_owned(), "0".to_owned()].into(),
            ipv4_address: Some("10.1.0.9".into()),
            ipv6_address: None,
            link_local_ips: ["169.254.3.4".to_owned()].into(),
        };
        assert_eq!(endpoint_in(ID, &endpoint_out(&endpoint)), endpoint);
        assert_eq!(endpoint_out(&Endpoint::default()), EndpointSettings::default());
    }

    #[test]
    fn the_engines_own_alias_is_dropped() {
        let settings = EndpointSettings { aliases: Some(vec![ID[..12].into(), "main".into()]), ..Default::default() };
        assert_eq!(endpoint_in(ID, &settings).aliases, ["main".to_owned()].into());
    }

    #[test]
    fn built_in_networks_are_not_listed() {
        let networks =
            HashMap::from([("bridge".to_owned(), EndpointSettings::default()), ("a_b".to_owned(), Default::default())]);
        assert_eq!(endpoints_in(ID, Some(&networks)).into_keys().collect::<Vec<_>>(), ["a_b"]);
    }

    #[test]
    fn modes_come_back_as_they_went() {
        for mode in [
            NetworkMode::Host,
            NetworkMode::None,
            NetworkMode::Bridge,
            NetworkMode::Network("u_default".into()),
            NetworkMode::Container(ID.into()),
        ] {
            assert_eq!(network_mode_in(&network_mode_out(&mode).unwrap()), mode);
        }
        assert_eq!(network_mode_in("default"), NetworkMode::Bridge);
        assert_eq!(network_mode_out(&NetworkMode::Service("db".into())), Err("db"));
    }
}
