//! Each rule of protocol §3.3 broken once, and what a composition may not say.

use serde_json::{Value, json};

use super::{accepted, document, offences, with};
use crate::target::{TargetError, parse};

const APP: &str = "/dev/apps/u";
const RELEASE: &str = "/dev/apps/u/releases/c0ffee";
const MAIN: &str = "/dev/apps/u/releases/c0ffee/services/main";

#[test]
fn rules_outside_apps_refuse_the_document() {
    let long = "x".repeat(256);
    for (pointer, value, path) in [
        ("/dev/name", json!(5), "name"),
        ("/dev/name", json!("a\nb"), "name"),
        ("/dev/name", json!(long), "name"),
        ("/dev/config", json!(null), "config"),
        ("/dev/config", json!([]), "config"),
        ("/dev/config/A B", json!("x"), "config.A B"),
        ("/dev/config/A", json!(5), "config.A"),
        ("/dev/apps", json!(null), "apps"),
        ("/dev/apps", json!("x"), "apps"),
    ] {
        match parse(&with(pointer, value), "dev") {
            Err(TargetError::Shape(offence)) => assert_eq!(offence.path, path),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert!(matches!(parse(&document(), "other"), Err(TargetError::NotThisDevice { .. })));
    for value in [json!([]), json!("x"), json!(null)] {
        assert!(matches!(parse(&value, "dev"), Err(TargetError::Shape(_))), "{value}");
    }
    assert!(matches!(parse(&json!({"dev": 5}), "dev"), Err(TargetError::Shape(_))));
}

#[test]
fn rules_inside_an_app_refuse_it_with_the_path() {
    let long = "x".repeat(256);
    let cases: Vec<(&str, &str, Value, &str)> = vec![
        (APP, "id", json!(-1), "id"),
        (APP, "id", json!("five"), "id"),
        (APP, "id", json!(1.5), "id"),
        (APP, "id", json!(null), "id"),
        (APP, "name", json!(null), "name"),
        (APP, "name", json!(long), "name"),
        (APP, "class", json!("fleets"), "class"),
        (APP, "parent_app", json!(long), "parent_app"),
        (APP, "is_host", json!("yes"), "is_host"),
        (APP, "releases", json!([]), "releases"),
        (RELEASE, "id", json!("x"), "releases.c0ffee.id"),
        (RELEASE, "services", json!([]), "releases.c0ffee.services"),
        (RELEASE, "volumes", json!("x"), "releases.c0ffee.volumes"),
        (RELEASE, "networks", json!(1), "releases.c0ffee.networks"),
    ];
    for (at, key, value, path) in cases {
        let found = offences(&with(&format!("{at}/{key}"), value.clone()));
        assert!(found.contains(&format!("apps.u.{path}")), "{key}: {value}: {found:?}");
    }
    for (key, value, path) in [
        ("volumes", json!({"data": null}), "volumes.data"),
        ("volumes", json!({"-data": {}}), "volumes.-data"),
        ("networks", json!({"back": null}), "networks.back"),
        ("networks", json!({"a b": {}}), "networks.a b"),
        ("services", json!({"main": null}), "services.main"),
        ("services", json!({"main": "x"}), "services.main"),
    ] {
        let found = offences(&with(&format!("{RELEASE}/{key}"), value));
        assert!(found.contains(&format!("apps.u.releases.c0ffee.{path}")), "{key}: {found:?}");
    }
    assert_eq!(offences(&with(&format!("{APP}/releases"), json!({ long: {"id": 1} }))).len(), 1);
    assert_eq!(offences(&with(APP, json!(null))), ["apps.u"]);
}

#[test]
fn rules_of_services() {
    let long = "x".repeat(256);
    for (key, value, path) in [
        ("id", json!(null), "id"),
        ("id", json!([]), "id"),
        ("image_id", json!("x"), "image_id"),
        ("image", json!(null), "image"),
        ("image", json!(5), "image"),
        ("image", json!(long), "image"),
        ("image", json!("a@sha256:zz"), "image"),
        ("environment", json!(null), "environment"),
        ("environment", json!({"A-B": "1"}), "environment.A-B"),
        ("environment", json!({"A": 1}), "environment.A"),
        ("labels", json!(null), "labels"),
        ("labels", json!({"a b": "1"}), "labels.a b"),
        ("labels", json!({"a": null}), "labels.a"),
        ("running", json!("yes"), "running"),
        ("contract", json!("x"), "contract"),
        ("composition", json!([]), "composition"),
    ] {
        let found = offences(&with(&format!("{MAIN}/{key}"), value.clone()));
        assert_eq!(found, [format!("apps.u.releases.c0ffee.services.main.{path}")], "{key}: {value}");
    }
    let service = document().pointer(MAIN).unwrap().clone();
    let found = offences(&with(&format!("{RELEASE}/services"), json!({"-x": service, "db": service})));
    assert_eq!(found[0], "apps.u.releases.c0ffee.services.-x");
}

#[test]
fn compositions_that_cannot_work_are_refused_with_the_path() {
    for (composition, path) in [
        (json!({"ports": ["80", "http"]}), "ports[1]"),
        (json!({"expose": ["x"]}), "expose[0]"),
        (json!({"volumes": ["data:/a", "gone:/b"]}), "volumes[1]"),
        (json!({"networks": ["gone"]}), "networks[0]"),
        (json!({"networks": {"back": {"ipv4_address": "x"}}}), "networks.back.ipv4_address"),
        (json!({"network_mode": "gone"}), "network_mode"),
        (json!({"network_mode": "service:gone"}), "network_mode"),
        (json!({"network_mode": "service:db", "ports": ["80"]}), "ports"),
        (json!({"depends_on": ["gone"]}), "depends_on[0]"),
        (json!({"depends_on": {"gone": {"condition": "service_started"}}}), "depends_on.gone"),
        (json!({"devices": ["ttyS0"]}), "devices[0]"),
        (json!({"command": "echo it's"}), "command"),
        (json!({"command": {"a": 1}}), "command"),
        (json!({"entrypoint": [{}]}), "entrypoint[0]"),
        (json!({"healthcheck": {"test": ["curl"]}}), "healthcheck.test"),
        (json!({"privileged": "maybe"}), "privileged"),
        (json!({"read_only": []}), "read_only"),
        (json!({"cap_drop": 5, "user": {"a": 1}}), "user"),
        (json!({"tmpfs": ["run"]}), "tmpfs"),
        (json!({"environment": {"A": []}}), "environment.A"),
        (json!({"labels": [[]]}), "labels[0]"),
        (json!({"running": 1}), "running"),
    ] {
        let found = offences(&with(&format!("{MAIN}/composition"), composition.clone()));
        assert_eq!(found, [format!("apps.u.releases.c0ffee.services.main.composition.{path}")], "{composition}");
    }
}

#[test]
fn circles_are_refused() {
    let depends = |composition: Value| with(&format!("{RELEASE}/services/db/composition"), composition);
    let found = parse(&depends(json!({"depends_on": ["main"]})), "dev").unwrap();
    let offence = &found.refused["u"].offences[0];
    assert_eq!(offence.path, "apps.u.releases.c0ffee.services.db.composition.depends_on");
    assert!(offence.message.ends_with("db → main → db"), "{offence}");
    let found = offences(&depends(json!({"network_mode": "service:main"})));
    assert_eq!(found, ["apps.u.releases.c0ffee.services.db.composition.network_mode"]);
    assert_eq!(offences(&depends(json!({"depends_on": ["db"]}))).len(), 1);
}

#[test]
fn all_offences_are_collected_and_what_can_be_read_is_kept() {
    let mut document = document();
    let app = document.pointer_mut(APP).unwrap();
    app["class"] = json!("x");
    app["releases"]["c0ffee"]["services"]["main"]["image"] = json!("");
    app["releases"]["c0ffee"]["services"]["main"]["composition"]["ports"] = json!(["x", "y"]);
    app["releases"]["c0ffee"]["services"]["db"]["id"] = json!(null);
    let target = parse(&document, "dev").unwrap();
    let refused = &target.refused["u"];
    assert_eq!((refused.id, refused.name.as_deref(), refused.commit.as_deref()), (Some(5), Some("fleet"), Some("c0ffee")));
    let services = "apps.u.releases.c0ffee.services";
    let paths: Vec<&str> = refused.offences.iter().map(|offence| offence.path.as_str()).collect();
    let wanted = [
        "apps.u.class".to_owned(),
        format!("{services}.main.image"),
        format!("{services}.main.composition.ports[0]"),
        format!("{services}.main.composition.ports[1]"),
        format!("{services}.db.id"),
    ];
    assert_eq!(paths, wanted);
}

#[test]
fn one_bad_app_does_not_stop_the_others() {
    let mut document = document();
    let apps = document.pointer_mut("/dev/apps").unwrap();
    apps["v"] = json!({"id": "x", "name": "bad", "releases": {"d00d": {}}});
    apps["w"] = json!({"id": 6, "name": "empty"});
    let target = parse(&document, "dev").unwrap();
    assert_eq!(target.apps.keys().collect::<Vec<_>>(), ["u", "w"]);
    assert!(target.apps["w"].release.is_none());
    let refused = &target.refused["v"];
    assert_eq!((refused.id, refused.name.as_deref(), refused.commit.as_deref()), (None, Some("bad"), Some("d00d")));
}

#[test]
fn apps_that_share_an_id_are_refused() {
    let mut document = document();
    let apps = document.pointer_mut("/dev/apps").unwrap();
    apps["v"] = json!({"id": 5, "name": "twin"});
    apps["w"] = json!({"id": 5, "name": "host", "is_host": true});
    let target = parse(&document, "dev").unwrap();
    assert_eq!(target.refused.keys().collect::<Vec<_>>(), ["u", "v"]);
    assert_eq!(target.refused["u"].commit.as_deref(), Some("c0ffee"));
    assert_eq!(target.apps.keys().collect::<Vec<_>>(), ["w"]);
}

#[test]
fn ports_are_bounded_for_the_document() {
    let mut document = document();
    let ports = json!({"id": 1, "image_id": 1, "image": "a", "environment": {}, "labels": {},
        "composition": {"ports": ["1-16384:1-16384"]}});
    let services = |count: usize| -> Value { (0..count).map(|i| (format!("s{i}"), ports.clone())).collect() };
    let apps = document.pointer_mut("/dev/apps").unwrap();
    apps["u"]["releases"]["c0ffee"]["services"] = services(9);
    apps["v"] = json!({"id": 6, "name": "v", "releases": {"a": {"id": 1, "services": services(8)}}});
    apps["w"] = json!({"id": 7, "name": "w", "releases": {"a": {"id": 1, "services": services(1)}}});
    apps["x"] = json!({"id": 8, "name": "x"});
    let target = parse(&document, "dev").unwrap();
    // The refused app does not use up what the others may have.
    assert_eq!(target.apps.keys().collect::<Vec<_>>(), ["v", "x"]);
    assert_eq!(target.refused["u"].offences.len(), 1);
}

#[test]
fn the_document_itself_is_fine() {
    assert_eq!(accepted(&document()).apps.len(), 1);
}
