//! Targets as clouds really send them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{accepted, document, offences, with};
use crate::container::{Healthcheck, RestartPolicy};
use crate::target::{AppClass, Condition, MountSource, NetworkChoice, Service, Strategy};

const RELEASE: &str = "/dev/apps/u/releases/c0ffee";

/// A service with every field a composition may have, most of them unset in the ways tools write it down.
fn service_with_nulls() -> Value {
    json!({
        "id": "7", "image_id": "99", "image": "registry2.example.com/v2/0f0e@sha256:0123456789abcdef0123456789abcdef",
        "environment": {"FOO": "bar", "EMPTY": ""}, "labels": {"io.resin.features.supervisor-api": "1", "io.resin.update.strategy": "hand-over"},
        "running": null, "contract": null,
        "composition": {
            "image": "irrelevant", "build": {"context": "."}, "profiles": ["a"], "x-note": 1,
            "command": null, "entrypoint": null, "environment": {"FOO": "low", "ONLY": 1, "NONE": null}, "labels": ["a=b"],
            "networks": {"default": null}, "volumes": ["data:/data"], "ports": null, "depends_on": {}, "healthcheck": {},
            "cap_add": [], "devices": null, "deploy": null, "logging": {}, "mem_limit": null, "restart": null, "ulimits": {},
            "sysctls": null, "tmpfs": null, "stop_grace_period": null, "tty": null, "init": null, "hostname": "", "user": "",
            "working_dir": "/app/", "secrets": {}, "configs": null
        }
    })
}

fn main_service(service: Value) -> Service {
    let target = accepted(&with(&format!("{RELEASE}/services/main"), service));
    target.apps["u"].release.as_ref().unwrap().services["main"].clone()
}

#[test]
fn explicit_nulls_and_numeric_strings() {
    let service = main_service(service_with_nulls());
    assert_eq!((service.id, service.image_id, service.running), (7, 99, true));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(service.environment, BTreeMap::from([pair("FOO", "bar"), pair("EMPTY", ""), pair("ONLY", "1")]));
    assert_eq!(service.labels["io.balena.features.supervisor-api"], "1");
    assert_eq!((service.labels["a"].as_str(), service.strategy()), ("b", Strategy::HandOver));
    assert!(service.has_feature("supervisor-api") && !service.has_feature("dbus"));
    assert_eq!(service.network_mode, NetworkChoice::Network("default".into()));
    assert_eq!(service.networks.keys().collect::<Vec<_>>(), ["default"]);
    assert_eq!((service.options.command.as_ref(), service.options.user.as_ref(), service.hostname.as_ref()), (None, None, None));
    assert_eq!((service.options.restart, service.options.tty), (RestartPolicy::Always, true));
    assert_eq!(service.options.working_dir.as_deref(), Some("/app"));
    assert_eq!(service.unsupported, []);
}

#[test]
fn a_full_composition() {
    let service: Value = serde_json::from_str(
        r#"{
        "id": 7, "image_id": 99, "image": "a", "environment": {}, "labels": {}, "running": false, "contract": {"type": "sw.container"},
        "composition": {
            "command": "serve --port 80", "entrypoint": ["/init"], "cap_add": ["NET_ADMIN"], "capDrop": ["ALL"],
            "cgroup_parent": "/x", "devices": ["/dev/ttyS0"], "dns": "1.1.1.1", "dns_opt": ["ndots:1"], "dnsSearch": ["a", "b"],
            "tmpfs": "/run", "extra_hosts": ["a=1.1.1.1"], "group_add": [29, "dialout"],
            "healthcheck": {"test": "true", "start_period": "5s"}, "init": true, "network_mode": "host", "pid": "host",
            "pids_limit": "50", "ports": ["8080:80"], "expose": [81], "security_opt": ["label=disable", "apparmor=unconfined"],
            "stop_grace_period": "1m", "stop_signal": "SIGINT", "sysctls": ["net.core.somaxconn=1024"], "ulimits": {"nofile": 1024},
            "userns_mode": "host", "restart": "unless-stopped", "cpus": 0.5, "domainname": "d", "hostname": "h", "ipc": "host",
            "mem_limit": "1.5g", "oom_kill_disable": true, "privileged": true, "read_only": true, "user": 1000, "tty": false,
            "stdin_open": true, "runtime": "runc", "logging": {"driver": "none"}, "device_cgroup_rules": ["c 1:3 mr"],
            "volumes": ["data:/data", "/etc:/etc", {"type": "tmpfs", "target": "/cache"}],
            "depends_on": {"db": {"condition": "service_healthy"}},
            "mac_address": "02:42:ac:11:00:02", "annotations": {"a": "b"}, "links": ["db"], "secrets": ["s"], "container_name": "c",
            "mystery": 1, "shm_size": "big"
        }
    }"#,
    )
    .unwrap();
    let service = main_service(service);
    let options = &service.options;
    assert_eq!(options.command.as_deref(), Some(["serve".to_owned(), "--port".into(), "80".into()].as_slice()));
    assert_eq!(options.user.as_deref(), Some("1000"));
    assert_eq!(options.dns_search, ["a", "b"]);
    assert!(options.group_add.contains("29") && options.cap_drop.contains("ALL"));
    assert_eq!(options.security_opt.iter().collect::<Vec<_>>(), ["apparmor=unconfined"]);
    assert_eq!((options.stop_grace_period_s, options.restart), (60, RestartPolicy::UnlessStopped));
    let check = Healthcheck {
        test: Some(vec!["CMD-SHELL".into(), "true".into()]),
        start_period_ns: Some(5_000_000_000),
        ..Healthcheck::default()
    };
    assert_eq!(options.healthcheck, Some(check));
    assert_eq!(service.depends_on["db"].condition, Condition::ServiceHealthy);
    assert_eq!((service.running, service.contract.is_some(), service.network_mode), (false, true, NetworkChoice::Host));
    assert_eq!(service.mounts.len(), 2);
    let named: Vec<&str> =
        service.unsupported.iter().filter_map(|offence| offence.path.rsplit_once("composition.")).map(|(_, p)| p).collect();
    for field in
        ["volumes[1]", "security_opt", "shm_size", "mac_address", "annotations", "links", "secrets", "container_name", "mystery"]
    {
        assert!(named.contains(&field), "{field}: {named:?}");
    }
    assert_eq!(named.len(), 9, "{named:?}");
}

#[test]
fn services_in_the_network_of_another() {
    let mut service = service_with_nulls();
    service["composition"] =
        json!({"network_mode": "service:db", "hostname": "h", "dns": "1.1.1.1", "expose": [80], "extra_hosts": ["a:1.1.1.1"]});
    let service = main_service(service);
    assert_eq!(service.network_mode, NetworkChoice::Service("db".into()));
    assert!(service.depends_on.contains_key("db") && service.networks.is_empty());
    assert!(service.hostname.is_none() && service.expose.is_empty() && service.options.dns.is_empty());
    assert_eq!(service.unsupported.len(), 4);
}

#[test]
fn the_first_release_counts_in_the_order_of_the_document() {
    let release = document().pointer(RELEASE).unwrap().clone();
    let target = accepted(&with("/dev/apps/u/releases", json!({"ffff": release, "aaaa": {"id": "broken"}})));
    assert_eq!(target.apps["u"].release.as_ref().unwrap().commit, "ffff");
    let target = accepted(&with("/dev/apps/u/releases", json!({})));
    assert!(target.apps["u"].release.is_none());
}

#[test]
fn the_first_listed_network_is_the_main_one() {
    let document = with(&format!("{RELEASE}/networks"), json!({"zulu": {}, "alpha": {}}));
    let mut document = document;
    document.pointer_mut(&format!("{RELEASE}/services/main")).unwrap()["composition"] =
        json!({"networks": {"zulu": null, "alpha": null}});
    let target = accepted(&document);
    let main = &target.apps["u"].release.as_ref().unwrap().services["main"];
    assert_eq!(main.network_mode, NetworkChoice::Network("zulu".into()));
    assert_eq!(main.networks.len(), 2);
}

#[test]
fn every_release_has_a_default_network() {
    let network = |document: &Value| {
        let target = accepted(document);
        let release = target.apps["u"].release.as_ref().unwrap();
        (release.networks["default"].config_only, release.networks["default"].driver.clone())
    };
    assert_eq!(network(&document()), (false, "bridge".into()));
    assert_eq!(network(&with(&format!("{RELEASE}/services"), json!({}))), (true, "bridge".into()));
    assert_eq!(
        network(&with(&format!("{RELEASE}/networks"), json!({"default": {"driver": "macvlan"}}))),
        (false, "macvlan".into())
    );
    let mut host = document();
    for service in ["main", "db"] {
        host.pointer_mut(&format!("{RELEASE}/services/{service}")).unwrap()["composition"] = json!({"network_mode": "host"});
    }
    assert_eq!(network(&host), (true, "bridge".into()));
}

#[test]
fn host_apps_and_classes_are_read() {
    let mut document = document();
    let apps = document.pointer_mut("/dev/apps").unwrap();
    apps["h"] = json!({"id": 9, "name": "os", "class": "app", "is_host": true, "parent_app": "p", "releases": {"b": {"id": 1, "services": {
        "hostapp": {"id": 1, "image_id": 2, "image": "os", "environment": {}, "labels": {"io.balena.image.store": "root"}}}}}});
    apps["b"] = json!({"id": 10, "name": "block", "class": "block"});
    let target = accepted(&document);
    assert!(target.apps["h"].is_host && target.apps["h"].release.is_some());
    assert_eq!(
        (target.apps["h"].class, target.apps["b"].class, target.apps["u"].class),
        (AppClass::App, AppClass::Block, AppClass::Fleet)
    );
    assert_eq!((target.name.as_str(), target.config.len()), ("river", 1));
}

#[test]
fn unsupported_parts_of_definitions_are_named() {
    let document = with(&format!("{RELEASE}/volumes"), json!({"data": {"external": true, "driver_opts": {"type": "nfs"}}}));
    let target = accepted(&document);
    let release = target.apps["u"].release.as_ref().unwrap();
    assert_eq!(release.unsupported[0].path, "apps.u.releases.c0ffee.volumes.data.external");
    assert_eq!(release.volumes["data"].driver_opts["type"], "nfs");
    assert!(release.services.values().all(|service| service.unsupported.is_empty()));
    let broken = with(&format!("{RELEASE}/networks"), json!({"back": {"ipam": {"config": [{"subnet": "x"}]}}}));
    assert_eq!(offences(&broken), ["apps.u.releases.c0ffee.networks.back.ipam.config[0].subnet"]);
}

#[test]
fn mounts_of_the_documented_example() {
    let mut service = service_with_nulls();
    service["composition"]["volumes"] = json!([" data : /data : ro "]);
    let service = main_service(service);
    let mount = service.mounts.first().unwrap();
    assert_eq!(mount.source, MountSource::Short { volume: "data".into(), mode: Some("ro".into()) });
}
