//! `ports` and `expose`: short and long form, ranges written out.

use std::collections::BTreeSet;

use crate::container::{Port, PortBinding, Protocol};
use crate::target::reading::{Field, Findings, Section, Weight, expected, integer, string, text};

/// At most so many ports a service, published and exposed together. The engine starts a process for each published one.
const PORTS_PER_SERVICE: usize = 16_384;

type Range = (u16, u16);

/// A range of ports of the container published on one of the host.
#[derive(Debug, PartialEq)]
struct Published {
    host_ip: String,
    /// `None` lets the engine choose.
    host: Option<Range>,
    container: Range,
    protocol: Protocol,
}

/// Published ports. A mistake refuses the app: it could not be reached as asked.
pub fn read(section: &mut Section<'_, '_>) -> BTreeSet<PortBinding> {
    let mut bindings = BTreeSet::new();
    let Some(field) = section.take("ports") else { return bindings };
    if !field.value.is_array() {
        section.expected(Weight::Refuse, &field, "a list of ports");
    }
    for item in field.items() {
        let published = if item.value.is_object() { long(&item, section.findings) } else { short_item(&item) };
        match published.and_then(|published| admit(bindings.len(), &published.container, section.findings).map(|()| published)) {
            Ok(published) => write_out(&published, &mut bindings),
            Err(message) => section.findings.refuse(&item, message),
        }
    }
    bindings
}

/// Ports declared without publishing.
pub fn expose(section: &mut Section<'_, '_>) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    let Some(field) = section.take("expose") else { return ports };
    if !field.value.is_array() {
        section.expected(Weight::Refuse, &field, "a list of ports");
    }
    for item in field.items() {
        let read = text(item.value).ok_or_else(|| expected("a port", item.value)).and_then(|text| {
            let (numbers, protocol) = protocol_of(&text)?;
            Ok((range(numbers)?, protocol))
        });
        match read.and_then(|read| admit(ports.len(), &read.0, section.findings).map(|()| read)) {
            Ok((range, protocol)) => ports.extend((range.0..=range.1).map(|number| Port { protocol, number })),
            Err(message) => section.findings.refuse(&item, message),
        }
    }
    ports
}

/// Keeps ranges from growing without bound: of one service, and of the whole document.
fn admit(have: usize, range: &Range, findings: &mut Findings) -> Result<(), String> {
    let count = usize::from(range.1 - range.0) + 1;
    if have + count > PORTS_PER_SERVICE {
        return Err(format!("these are more than {PORTS_PER_SERVICE} ports of one service"));
    }
    match findings.ports_left.checked_sub(count) {
        Some(left) => {
            findings.ports_left = left;
            Ok(())
        }
        None => Err("the target asks for more ports than the agent handles".into()),
    }
}

fn write_out(published: &Published, bindings: &mut BTreeSet<PortBinding>) {
    let Published { host_ip, host, container, protocol } = published;
    for (i, number) in (container.0..=container.1).enumerate() {
        // The ranges are equally long, so the sum stays within the host's range.
        let host_port = host.map_or(0, |(first, _)| first + i as u16);
        bindings.insert(PortBinding { port: Port { protocol: *protocol, number }, host_ip: host_ip.clone(), host_port });
    }
}

fn short_item(item: &Field<'_>) -> Result<Published, String> {
    let text = text(item.value).filter(|_| !item.value.is_boolean());
    short(&text.ok_or_else(|| expected("a port such as 8080:80", item.value))?)
}

/// `[ip:][host[-host]:]container[-container][/protocol]`; without a host port it is the container's.
fn short(text: &str) -> Result<Published, String> {
    let (rest, protocol) = protocol_of(text)?;
    let (front, container) = rest.rsplit_once(':').map_or((None, rest), |(front, container)| (Some(front), container));
    let (host_ip, host) = match front {
        Some(front) => front.rsplit_once(':').map_or(("", front), |(ip, host)| (ip, host)),
        None => ("", ""),
    };
    let container = range(container)?;
    let host = if host.is_empty() { container } else { host_range(host)? };
    // Port 0 of the host lets the engine choose, for one port.
    let host = match host {
        (0, 0) if container.0 == container.1 => None,
        (0, _) => return Err("its range of host ports begins with 0".into()),
        host => Some(host),
    };
    equally_long(host, container)?;
    Ok(Published { host_ip: address(host_ip)?, host, container, protocol })
}

/// `{target, published, host_ip, protocol}`. Its `name` and `app_protocol` tell people something and engines nothing, and
/// both values of `mode` mean the same on a single host.
fn long(item: &Field<'_>, findings: &mut Findings) -> Result<Published, String> {
    let mut section = Section::of(item, findings);
    let target = section.take("target").ok_or("it has no target port")?;
    let target = integer(target.value).and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let target = target.ok_or("its target is not a port from 1 to 65535")?;
    let host = section.take("published").and_then(|field| text(field.value)).filter(|text| !text.is_empty() && text != "0");
    let host = host.map(|text| host_range(&text)).transpose()?;
    equally_long(host, (target, target))?;
    let protocol =
        section.take("protocol").map_or(Ok(Protocol::Tcp), |field| protocol(string(field.value).unwrap_or_default()))?;
    let host_ip = section.text("host_ip", Weight::Refuse).unwrap_or_default();
    section.finish(|key| matches!(key, "name" | "app_protocol" | "mode").then_some(""));
    Ok(Published { host_ip: address(&host_ip)?, host, container: (target, target), protocol })
}

fn equally_long(host: Option<Range>, container: Range) -> Result<(), String> {
    match host {
        Some(host) if host.1 - host.0 != container.1 - container.0 => {
            Err("its ranges of host and container ports are not equally long".into())
        }
        _ => Ok(()),
    }
}

fn protocol_of(text: &str) -> Result<(&str, Protocol), String> {
    match text.trim().rsplit_once('/') {
        Some((rest, name)) => Ok((rest, protocol(name)?)),
        None => Ok((text.trim(), Protocol::Tcp)),
    }
}

fn protocol(name: &str) -> Result<Protocol, String> {
    match name.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err("its protocol is not tcp, udp or sctp".into()),
    }
}

fn range(text: &str) -> Result<Range, String> {
    let range = host_range(text)?;
    if range.0 == 0 { Err(NOT_A_PORT.into()) } else { Ok(range) }
}

const NOT_A_PORT: &str = "it is not a port from 1 to 65535, a range of them, or host:container";

fn host_range(text: &str) -> Result<Range, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(_), Some(_)) => Err("its range ends before it begins".into()),
        _ => Err(NOT_A_PORT.into()),
    }
}

/// An address of the host, as given; brackets around an IPv6 address go.
fn address(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if text.is_empty() || text.parse::<core::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("its host address is not an IP address".into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bindings(ports: Value) -> Result<Vec<String>, String> {
        let value = json!({ "ports": ports });
        let (root, mut findings) = (Field::root(&value), Findings::new(1_000_000));
        let read = read(&mut Section::of(&root, &mut findings));
        if let Some(offence) = findings.into_offences().first() {
            return Err(offence.to_string());
        }
        let show = |b: &PortBinding| format!("{}:{}:{}/{:?}", b.host_ip, b.host_port, b.port.number, b.port.protocol);
        Ok(read.iter().map(show).collect())
    }

    #[test]
    fn accepted_forms() {
        for (port, wanted) in [
            (json!("80"), vec![":80:80/Tcp"]),
            (json!(80), vec![":80:80/Tcp"]),
            (json!("8080:80"), vec![":8080:80/Tcp"]),
            (json!("8080:80/udp"), vec![":8080:80/Udp"]),
            (json!("127.0.0.1:8080:80"), vec!["127.0.0.1:8080:80/Tcp"]),
            (json!("127.0.0.1::80"), vec!["127.0.0.1:80:80/Tcp"]),
            (json!("[::1]:8080:80"), vec!["::1:8080:80/Tcp"]),
            (json!("0:80"), vec![":0:80/Tcp"]),
            (json!("8080-8081:80-81/tcp"), vec![":8080:80/Tcp", ":8081:81/Tcp"]),
            (json!("80-81"), vec![":80:80/Tcp", ":81:81/Tcp"]),
            (json!({"target": 80}), vec![":0:80/Tcp"]),
            (json!({"target": "80", "published": 8080, "protocol": "udp", "mode": "host"}), vec![":8080:80/Udp"]),
            (json!({"target": 80, "published": "8080", "host_ip": "10.0.0.1"}), vec!["10.0.0.1:8080:80/Tcp"]),
            (json!({"target": 80, "published": "8080", "hostIp": "10.0.0.1"}), vec!["10.0.0.1:8080:80/Tcp"]),
        ] {
            assert_eq!(bindings(json!([port])).unwrap(), wanted, "{port}");
        }
    }

    #[test]
    fn refused_forms() {
        for port in [
            json!("http"),
            json!(""),
            json!("0"),
            json!("65536"),
            json!("80:80:80:80"),
            json!("80-79"),
            json!("8080-8082:80-81"),
            json!("8080-8090:80"),
            json!("0-1:80-81"),
            json!("80/icmp"),
            json!("host:80:80"),
            json!("+80"),
            json!(true),
            json!(-1),
            json!([]),
            json!({"published": 80}),
            json!({"target": 0}),
            json!({"target": 80, "published": "8080-8090"}),
            json!({"target": 80, "host_ip": "somewhere"}),
        ] {
            let refused = bindings(json!(["80", port])).unwrap_err();
            assert!(refused.starts_with("ports[1]: "), "{port}: {refused}");
        }
        assert!(bindings(json!("80")).unwrap_err().starts_with("ports: expected a list"));
    }

    #[test]
    fn ranges_are_bounded() {
        assert!(bindings(json!(["1-16384"])).is_ok());
        assert!(bindings(json!(["1-16385"])).unwrap_err().contains("more than 16384"));
        assert!(bindings(json!(["1-16384", "20000"])).unwrap_err().starts_with("ports[1]"));
    }

    #[test]
    fn exposed_ports() {
        let value = json!({"expose": ["3000", 3001, "4000-4001/udp"]});
        let (root, mut findings) = (Field::root(&value), Findings::new(10));
        let ports = expose(&mut Section::of(&root, &mut findings));
        let numbers: BTreeSet<u16> = ports.iter().map(|port| port.number).collect();
        assert_eq!(numbers, BTreeSet::from([3000, 3001, 4000, 4001]));
        assert_eq!(findings.ports_left, 6);
        assert!(findings.is_clean());
    }
}
