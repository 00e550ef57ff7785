//! Ports, published and declared, in both directions.

use std::collections::{BTreeSet, HashMap};

use bollard::models;
use holdfast_plan::container::{Port, PortBinding, Protocol};

/// `80/tcp`.
pub(super) fn port_out(port: Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.number)
}

/// Reads `80/tcp` or `80`; `None` for a protocol we do not know.
pub(super) fn port_in(text: &str) -> Option<Port> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some(Port { protocol, number: number.parse().ok()? })
}

/// Declared ports, from the engine's list.
pub(super) fn exposed_in(ports: Option<&Vec<String>>) -> BTreeSet<Port> {
    ports.into_iter().flatten().filter_map(|text| port_in(text)).collect()
}

/// Declared ports for the engine: a published port has to be declared too.
pub(super) fn exposed_out(exposed: &BTreeSet<Port>, published: &BTreeSet<PortBinding>) -> Option<Vec<String>> {
    let all: BTreeSet<Port> = exposed.iter().copied().chain(published.iter().map(|binding| binding.port)).collect();
    (!all.is_empty()).then(|| all.into_iter().map(port_out).collect())
}

/// Published ports for the engine.
pub(super) fn bindings_out(published: &BTreeSet<PortBinding>) -> Option<models::PortMap> {
    let mut map = models::PortMap::new();
    for binding in published {
        let entry = map.entry(port_out(binding.port)).or_default().get_or_insert_default();
        entry.push(models::PortBinding {
            host_ip: Some(binding.host_ip.clone()),
            // Without a number the engine chooses one.
            host_port: Some(if binding.host_port == 0 { String::new() } else { binding.host_port.to_string() }),
        });
    }
    (!map.is_empty()).then_some(map)
}

/// Published ports as they were asked for.
pub(super) fn bindings_in(map: Option<&HashMap<String, Option<Vec<models::PortBinding>>>>) -> BTreeSet<PortBinding> {
    let mut published = BTreeSet::new();
    for (text, bindings) in map.into_iter().flatten() {
        let Some(port) = port_in(text) else { continue };
        for binding in bindings.iter().flatten() {
            let host_port = binding.host_port.as_deref().and_then(|number| number.parse().ok()).unwrap_or(0);
            published.insert(PortBinding { port, host_ip: binding.host_ip.clone().unwrap_or_default(), host_port });
        }
    }
    published
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(number: u16, protocol: Protocol, host_ip: &str, host_port: u16) -> PortBinding {
        PortBinding { port: Port { protocol, number }, host_ip: host_ip.into(), host_port }
    }

    #[test]
    fn published_ports_come_back_as_they_went() {
        let ports = BTreeSet::from([
            binding(80, Protocol::Tcp, "", 8080),
            binding(80, Protocol::Tcp, "127.0.0.1", 8081),
            binding(53, Protocol::Udp, "", 0),
            binding(9, Protocol::Sctp, "", 9),
        ]);
        assert_eq!(bindings_in(bindings_out(&ports).as_ref()), ports);
        assert_eq!(bindings_out(&BTreeSet::new()), None);
    }

    #[test]
    fn published_ports_are_declared() {
        let exposed = BTreeSet::from([Port { protocol: Protocol::Tcp, number: 1 }]);
        let list = exposed_out(&exposed, &BTreeSet::from([binding(80, Protocol::Udp, "", 80)]));
        assert_eq!(exposed_in(list.as_ref()).len(), 2);
        assert_eq!(port_in("80"), Some(Port { protocol: Protocol::Tcp, number: 80 }));
        assert_eq!(port_in("80/dccp"), None);
        assert_eq!(port_in("70000/tcp"), None);
    }
}
