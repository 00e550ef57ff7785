//! Networks and volumes as a release defines them (behaviour §5).

use super::{ipam, labels};
use crate::target::reading::{Field, Findings, Section, Weight};
use crate::target::{NetworkSpec, VolumeSpec};

const NOT_SHARED: &str = "networks and volumes belong to their app alone and are named by the agent";

/// Reads the definition of a network; the caller has seen that it is an object.
pub fn network(field: &Field<'_>, findings: &mut Findings) -> NetworkSpec {
    let mut section = Section::of(field, findings);
    let mut network = NetworkSpec {
        driver_opts: section.pairs("driver_opts", Weight::Refuse),
        enable_ipv6: section.flag("enable_ipv6", Weight::Refuse).unwrap_or(false),
        internal: section.flag("internal", Weight::Refuse).unwrap_or(false),
        config_only: section.flag("config_only", Weight::Refuse).unwrap_or(false),
        labels: labels::read(&mut section),
        ..NetworkSpec::default()
    };
    if let Some(driver) = section.text("driver", Weight::Refuse) {
        network.driver = driver;
    }
    ipam::read(&mut section, &mut network);
    section.finish(|key| match key {
        "external" | "name" => Some(NOT_SHARED),
        "attachable" => Some("only swarms attach to networks from outside"),
        _ => None,
    });
    network
}

/// Reads the definition of a volume; the caller has seen that it is an object.
pub fn volume(field: &Field<'_>, findings: &mut Findings) -> VolumeSpec {
    let mut section = Section::of(field, findings);
    let mut volume = VolumeSpec {
        driver_opts: section.pairs("driver_opts", Weight::Refuse),
        labels: labels::read(&mut section),
        ..VolumeSpec::default()
    };
    if let Some(driver) = section.text("driver", Weight::Refuse) {
        volume.driver = driver;
    }
    section.finish(|key| matches!(key, "external" | "name").then_some(NOT_SHARED));
    volume
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks() {
        let value = json!({
            "driver": "bridge", "driver_opts": {"com.docker.network.bridge.name": "br7"}, "enable_ipv6": "true", "internal": true,
            "ipam": {"driver": "default", "config": [{"subnet": "10.1.0.0/16", "gateway": "10.1.0.1"}]},
            "labels": {"io.resin.x": 1}, "external": true, "name": null,
        });
        let mut findings = Findings::new(0);
        let read = network(&Field::root(&value), &mut findings);
        assert!(read.enable_ipv6 && read.internal && !read.config_only);
        assert_eq!(read.ipam_pools[0].subnet.as_deref(), Some("10.1.0.0/16"));
        assert_eq!(read.labels["io.balena.x"], "1");
        let named = findings.take_unsupported();
        assert_eq!(named.iter().map(|offence| offence.path.as_str()).collect::<Vec<_>>(), ["external"]);
        assert!(findings.is_clean());
    }

    #[test]
    fn empty_definitions_are_the_default() {
        let mut findings = Findings::new(0);
        for value in [json!({}), json!({"driver": null, "ipam": {}, "driver_opts": {}, "labels": null})] {
            assert_eq!(network(&Field::root(&value), &mut findings), NetworkSpec::default());
            let mut volume_value = value.clone();
            volume_value.as_object_mut().unwrap().remove("ipam");
            assert_eq!(volume(&Field::root(&volume_value), &mut findings), VolumeSpec::default());
        }
        assert!(findings.is_clean() && findings.take_unsupported().is_empty());
    }

    #[test]
    fn volumes() {
        let value = json!({"driver": "local", "driverOpts": {"type": "tmpfs", "o": "size=1m"}, "external": true});
        let mut findings = Findings::new(0);
        let read = volume(&Field::root(&value), &mut findings);
        assert_eq!(read.driver_opts["type"], "tmpfs");
        assert_eq!(findings.take_unsupported().len(), 1);
    }
}
