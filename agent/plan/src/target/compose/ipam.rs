//! `ipam`: the address pools of a network.

use crate::target::reading::{Field, Findings, Section, Weight, expected, string};
use crate::target::{IpamPool, NetworkSpec};

/// Reads address pools into a network. Wrong addresses refuse the app: its network could not be made.
pub fn read(section: &mut Section<'_, '_>, network: &mut NetworkSpec) {
    let Some(field) = section.take("ipam") else { return };
    if !field.value.is_object() {
        return section.expected(Weight::Refuse, &field, "an object");
    }
    let mut parts = Section::of(&field, section.findings);
    if let Some(driver) = parts.text("driver", Weight::Refuse) {
        network.ipam_driver = driver;
    }
    network.ipam_options = parts.pairs("options", Weight::Refuse);
    if let Some(pools) = parts.take("config") {
        if !pools.value.is_array() {
            parts.expected(Weight::Refuse, &pools, "a list of address pools");
        }
        network.ipam_pools = pools.items().map(|item| pool(&item, parts.findings)).collect();
    }
    parts.finish(|_| None);
}

fn pool(item: &Field<'_>, findings: &mut Findings) -> IpamPool {
    if !item.value.is_object() {
        findings.refuse(item, expected("an object", item.value));
    }
    let mut parts = Section::of(item, findings);
    let pool = IpamPool {
        subnet: checked(&mut parts, "subnet", "an address range such as 10.1.0.0/16", is_range),
        gateway: checked(&mut parts, "gateway", "an IP address", is_address),
        ip_range: checked(&mut parts, "ip_range", "an address range such as 10.1.2.0/24", is_range),
        aux_addresses: parts.pairs("aux_addresses", Weight::Refuse),
    };
    parts.finish(|_| None);
    if item.value.is_object() && (pool.subnet.is_none() || pool.gateway.is_none()) {
        findings.name(item, "without both a subnet and a gateway the engine fills in what is missing");
    }
    pool
}

fn checked(parts: &mut Section<'_, '_>, name: &str, wanted: &str, is_right: fn(&str) -> bool) -> Option<String> {
    let field = parts.take(name)?;
    let read = string(field.value).filter(|text| is_right(text));
    if read.is_none() {
        parts.expected(Weight::Refuse, &field, wanted);
    }
    read.map(str::to_owned)
}

fn is_address(text: &str) -> bool {
    text.parse::<core::net::IpAddr>().is_ok()
}

fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<core::net::IpAddr>() {
        Ok(core::net::IpAddr::V4(_)) => 32,
        Ok(core::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read_ipam(ipam: Value) -> (NetworkSpec, Vec<String>, Vec<String>) {
        let value = json!({ "ipam": ipam });
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let mut network = NetworkSpec::default();
        read(&mut Section::of(&root, &mut findings), &mut network);
        let named = findings.take_unsupported().into_iter().map(|offence| offence.path).collect();
        (network, named, findings.into_offences().into_iter().map(|offence| offence.path).collect())
    }

    #[test]
    fn pools() {
        let (network, named, refused) = read_ipam(json!({
            "driver": "default", "options": {"a": 1},
            "config": [{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1", "ip_range": "10.1.2.0/24", "auxAddresses": {"nas": "10.1.0.9"}}],
        }));
        assert_eq!((named.len(), refused.len(), network.ipam_options["a"].as_str()), (0, 0, "1"));
        assert_eq!(network.ipam_pools[0].aux_addresses["nas"], "10.1.0.9");
        assert_eq!(read_ipam(json!({"config": [{"subnet": "fd00::/64"}]})).1, ["ipam.config[0]"]);
        assert_eq!(read_ipam(json!({"driver": null, "config": null})).0, NetworkSpec::default());
    }

    #[test]
    fn mistakes() {
        for (ipam, path) in [
            (json!("x"), "ipam"),
            (json!({"config": "x"}), "ipam.config"),
            (json!({"config": ["x"]}), "ipam.config[0]"),
            (json!({"config": [{"subnet": "10.1.0.0", "gateway": "10.1.0.1"}]}), "ipam.config[0].subnet"),
            (json!({"config": [{"subnet": "10.1.0.0/33", "gateway": "10.1.0.1"}]}), "ipam.config[0].subnet"),
            (json!({"config": [{"subnet": "10.1.0.0/16", "gateway": "x"}]}), "ipam.config[0].gateway"),
        ] {
            assert_eq!(read_ipam(ipam.clone()).2, [path], "{ipam}");
        }
    }
}
