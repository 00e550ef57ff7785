//! Networks: names may stand twice, ids do not.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use holdfast_plan::container::{MADE_FROM_LABEL, is_network_as_made};
use holdfast_plan::current::Network;
use holdfast_plan::target::{AppId, NetworkSpec};

use super::observer::Mutation;
use super::world::World;
use crate::engine::{EngineError, Result};

/// Marks networks with address pools of their own (behaviour §5).
const IPAM_LABEL: &str = "io.balena.private.ipam.config";

fn failed(name: &str, message: String) -> EngineError {
    EngineError::Failed { object: format!("network {name}"), message }
}

impl World {
    /// Makes a network unless an identical one is there. Another one of the same name gives two.
    pub fn create_network(&mut self, name: &str, spec: &NetworkSpec, app: AppId) -> Result<()> {
        let mut present = self.networks.values().map(|(_, network)| network).filter(|network| network.name == name);
        if present.any(|network| network.spec == *spec || is_network_as_made(network, spec)) {
            return Ok(());
        }
        let mut labels = spec.labels.clone();
        labels.insert("io.balena.supervised".into(), "true".into());
        labels.insert("io.balena.app-id".into(), app.to_string());
        labels.insert(MADE_FROM_LABEL.into(), spec.mark());
        if !spec.ipam_pools.is_empty() {
            labels.insert(IPAM_LABEL.into(), "true".into());
        }
        self.add_network(name, spec, labels)
    }

    /// Makes a network whatever its name.
    pub fn add_network(&mut self, name: &str, spec: &NetworkSpec, labels: BTreeMap<String, String>) -> Result<()> {
        for subnet in spec.ipam_pools.iter().filter_map(|pool| pool.subnet.as_deref()) {
            let range = range_of(subnet).ok_or_else(|| failed(name, format!("invalid subnet {subnet}")))?;
            let taken = self.networks.values().flat_map(|(_, network)| &network.spec.ipam_pools);
            if taken.filter_map(|pool| range_of(pool.subnet.as_deref()?)).any(|other| range.0 <= other.1 && other.0 <= range.1) {
                return Err(failed(name, "Pool overlaps with other one on this address space".into()));
            }
        }
        let id = self.new_id();
        let sequence = self.next_sequence();
        let mut spec = spec.clone();
        if let Some(added) = self.added {
            added(&mut spec);
        }
        let network = Network { id: id.clone(), name: name.into(), spec, labels };
        self.networks.insert(id.clone(), (sequence, network));
        self.note(Mutation::NetworkCreated { id, name: name.into() });
        Ok(())
    }

    /// Removes a network that no running container uses.
    pub fn remove_network(&mut self, id: &str) -> Result<()> {
        let Some((number, network)) = self.networks.get(id) else { return Ok(()) };
        let name = network.name.clone();
        // While a name stands twice nobody can join it: whoever is in it joined the older one.
        let older = |(sequence, other): &(u64, Network)| other.name == name && *sequence < *number;
        let is_first = !self.networks.values().any(older);
        if is_first && self.containers.values().any(|held| held.runs() && held.spec.networks.contains_key(&name)) {
            let message = format!("error while removing network: network {name} id {id} has active endpoints");
            return Err(EngineError::Conflict { object: format!("network {name}"), message });
        }
        self.networks.remove(id);
        self.note(Mutation::NetworkRemoved { id: id.into(), name });
        Ok(())
    }

    /// Whether a container can join a network of this name.
    pub fn check_network(&self, container: &str, name: &str) -> Result<()> {
        let object = format!("container {container}");
        match self.networks.values().filter(|(_, network)| network.name == name).count() {
            0 => Err(EngineError::NotFound { object, message: format!("network {name} not found") }),
            1 => Ok(()),
            n => Err(EngineError::Failed { object, message: format!("network {name} is ambiguous ({n} matches found on name)") }),
        }
    }
}

/// First and last address of a subnet, IPv4 or IPv6.
fn range_of(subnet: &str) -> Option<(u128, u128)> {
    let (address, bits) = subnet.split_once('/')?;
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let first = u32::from(address) & mask;
        return Some((first.into(), (first | !mask).into()));
    }
    let address: std::net::Ipv6Addr = address.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 128)?;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    let first = u128::from(address) & mask;
    Some((first, first | !mask))
}

#[cfg(test)]
mod tests {
    use super::range_of;

    #[test]
    fn subnets_are_ranges() {
        assert_eq!(range_of("10.0.0.7/24"), Some((0x0a00_0000, 0x0a00_00ff)));
        assert_eq!(range_of("0.0.0.0/0"), Some((0, 0xffff_ffff)));
        assert_eq!(range_of("fd00::1/128").map(|(a, b)| b - a), Some(0));
        assert_eq!(range_of("10.0.0.0/33"), None);
    }
}
