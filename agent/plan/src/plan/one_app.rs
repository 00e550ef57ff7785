//! Targets of one app, for tests.

use serde_json::{Value, json};

use crate::target::{DeviceTarget, parse};

const DEVICE: &str = "00112233445566778899aabbccddeeff";
pub(super) const APP: &str = "aabbccddeeff00112233445566778899";

/// A service of an image whose digest is this digit again and again.
pub(super) fn service(number: u32, digit: &str, composition: Value) -> Value {
    let image = format!("r.io/x@sha256:{}", digit.repeat(64));
    json!({ "id": number, "image_id": number, "image": image, "labels": {}, "environment": {}, "composition": composition })
}

/// App 1 in a release of these services and volumes.
pub(super) fn target(commit: &str, services: Value, volumes: Value) -> DeviceTarget {
    in_networks(commit, services, json!({}), volumes)
}

/// The same with networks of its own.
pub(super) fn in_networks(commit: &str, services: Value, networks: Value, volumes: Value) -> DeviceTarget {
    let releases = json!({ commit: { "id": 1, "services": services, "networks": networks, "volumes": volumes } });
    let app = json!({ "id": 1, "name": "fleet", "class": "fleet", "is_host": false, "releases": releases });
    let target = parse(&json!({ DEVICE: { "name": "d", "config": {}, "apps": { APP: app } } }), DEVICE).unwrap();
    assert!(target.refused.is_empty(), "{:?}", target.refused);
    target
}
