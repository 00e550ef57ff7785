//! Which fields of a present container differ from the wanted one (behaviour §4.5).
//!
//! The image's defaults count as wanted where the specification says nothing. They are known only while the engine has the
//! image; without them, what a container has beyond the specification is taken to be the image's.

mod options;
mod pairs;
mod places;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::{ContainerSpec, Endpoint, ImageConfig, NetworkMode, Port};
use crate::current::Container;
use crate::target::ImageRef;

/// Names the fields in which `present` differs from `wanted`; empty means that it can stay as it is. Environment
/// variables are named, their values are not. The container's name is not compared: it changes with every release.
///
/// `wanted` may name another service as its network stack ([`NetworkMode::Service`]): any container's will then do.
pub fn differences(present: &Container, wanted: &ContainerSpec) -> Vec<String> {
    let image = present.image_config.as_deref();
    let is = &*present.spec;
    let mut fields = Vec::new();
    if !is_same_image(present, wanted) {
        fields.push("image".to_owned());
    }
    pairs::environment(&is.environment, &wanted.environment, image.map(|image| &image.environment), &mut fields);
    pairs::labels(&is.labels, &wanted.labels, image.map(|image| &image.labels), &mut fields);
    let mut differs = |field: &str, does: bool| {
        if does {
            fields.push(field.to_owned());
        }
    };
    differs("network_mode", !is_same_mode(&is.network_mode, &wanted.network_mode));
    differs("hostname", !is_same_hostname(present, wanted));
    differs("ports", is.ports != wanted.ports);
    differs("expose", !exposes_same(is, wanted, image));
    networks(is, wanted, &mut fields);
    places::compare(is, wanted, image, &mut fields);
    options::compare(&is.options, &wanted.options, image, &mut fields);
    fields
}

fn is_same_image(present: &Container, wanted: &ContainerSpec) -> bool {
    if present.image_id == wanted.image || present.spec.image == wanted.image {
        return true;
    }
    match (present.spec.image.parse::<ImageRef>(), wanted.image.parse::<ImageRef>()) {
        _ if wanted.image.starts_with("sha256:") => false,
        (Ok(is), Ok(wanted)) => is.same_image(&wanted),
        _ => false,
    }
}

fn is_same_mode(is: &NetworkMode, wanted: &NetworkMode) -> bool {
    match (is, wanted) {
        (NetworkMode::Container(_), NetworkMode::Service(_)) | (NetworkMode::Service(_), NetworkMode::Container(_)) => true,
        _ => plain(is) == plain(wanted),
    }
}

/// The engine's other words for its own networks.
fn plain(mode: &NetworkMode) -> &NetworkMode {
    match mode {
        NetworkMode::Network(name) => match name.as_str() {
            "bridge" | "default" | "" => &NetworkMode::Bridge,
            "host" => &NetworkMode::Host,
            "none" => &NetworkMode::None,
            _ => mode,
        },
        _ => mode,
    }
}

fn is_same_hostname(present: &Container, wanted: &ContainerSpec) -> bool {
    let is = present.spec.hostname.as_deref().filter(|name| !name.is_empty() && present.id.get(..12) != Some(name));
    match wanted.network_mode {
        // The name is that of the other container, or of the host: the engine fills it in.
        NetworkMode::Service(_) | NetworkMode::Container(_) => true,
        NetworkMode::Host if wanted.hostname.is_none() => true,
        _ => is == wanted.hostname.as_deref(),
    }
}

fn exposes_same(is: &ContainerSpec, wanted: &ContainerSpec, image: Option<&ImageConfig>) -> bool {
    let nothing = BTreeSet::new();
    let of_image = image.map_or(&nothing, |image| &image.exposed);
    // Whatever is published is exposed too; whether the engine lists it twice is its own affair.
    let published = |port: &Port| wanted.ports.range(from(*port)..).next().is_some_and(|binding| binding.port == *port);
    let is_wanted = |port: &Port| wanted.exposed.contains(port) || of_image.contains(port) || published(port);
    let all_there = wanted.exposed.iter().all(|port| is.exposed.contains(port) || published(port));
    all_there && (image.is_none() || is.exposed.iter().all(is_wanted))
}

/// The least binding of a port.
fn from(port: Port) -> super::PortBinding {
    super::PortBinding { port, host_ip: String::new(), host_port: 0 }
}

/// Every wanted network must be there, with at least the wanted names and addresses. Others do not matter.
fn networks(is: &ContainerSpec, wanted: &ContainerSpec, fields: &mut Vec<String>) {
    for (name, endpoint) in &wanted.networks {
        if !is.networks.get(name).is_some_and(|is| has_all(is, endpoint)) {
            fields.push(format!("network {name}"));
        }
    }
}

fn has_all(is: &Endpoint, wanted: &Endpoint) -> bool {
    let address = |is: &Option<String>, wanted: &Option<String>| wanted.is_none() || is == wanted;
    wanted.aliases.is_subset(&is.aliases)
        && address(&is.ipv4_address, &wanted.ipv4_address)
        && address(&is.ipv6_address, &wanted.ipv6_address)
        && (wanted.link_local_ips.is_empty() || is.link_local_ips == wanted.link_local_ips)
}
