//! The document as a whole: real targets, broken rules, and whatever else may arrive.

mod arbitrary;
mod broken;
mod realistic;

use serde_json::{Value, json};

use super::parse;
use crate::target::DeviceTarget;

/// A document with one app, which the test then changes.
fn document() -> Value {
    json!({"dev": {"name": "river", "config": {"RESIN_SUPERVISOR_POLL_INTERVAL": "900000"}, "apps": {"u": {
    "id": 5, "name": "fleet", "class": "fleet", "is_host": false, "releases": {"c0ffee": {
        "id": "55",
        "services": {
            "main": {"id": 7, "image_id": 99, "image": "r.example.com/v2/a:1", "environment": {"A": "1"}, "labels": {"l": "1"},
                "composition": {"depends_on": ["db"]}},
            "db": {"id": 8, "image_id": 98, "image": "r.example.com/v2/b:1", "environment": {}, "labels": {}}
        },
        "networks": {"back": {}}, "volumes": {"data": {}}
    }}}}}})
}

/// The document with the value at a pointer replaced; a member that is not there yet is made.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = document();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("no place {pointer}"));
    parent.as_object_mut().unwrap().insert(key.replace("~1", "/"), value);
    document
}

/// The paths of the offences of app `u`.
fn offences(document: &Value) -> Vec<String> {
    let target = parse(document, "dev").unwrap();
    let refused = target.refused.get("u").map(|app| app.offences.as_slice()).unwrap_or_default();
    refused.iter().map(|offence| offence.path.clone()).collect()
}

fn accepted(document: &Value) -> DeviceTarget {
    let target = parse(document, "dev").unwrap();
    assert!(target.refused.is_empty(), "{:#?}", target.refused);
    target
}
