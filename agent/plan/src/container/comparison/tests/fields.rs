//! Every field of a composition: read back unchanged it is equal, changed it is named.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{IMAGE, facts, image, on_supervisor_network, open, read_back, wanted, wanted_with};
use crate::container::{ImageConfig, NetworkMode, differences};

/// Fields with a value that is not the default, and what their difference is called.
fn fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("command", json!("run it"), "command"),
        ("entrypoint", json!(["/other"]), "entrypoint"),
        ("entrypoint", json!([]), "entrypoint"),
        ("environment", json!({"MORE": "secret"}), "environment MORE"),
        ("labels", json!({"more": "1"}), "label more"),
        ("restart", json!("no"), "restart"),
        ("tty", json!(false), "tty"),
        ("stdin_open", json!(true), "stdin_open"),
        ("init", json!(true), "init"),
        ("privileged", json!(true), "privileged"),
        ("read_only", json!(true), "read_only"),
        ("cap_add", json!(["NET_ADMIN"]), "cap_add"),
        ("cap_drop", json!(["ALL"]), "cap_drop"),
        ("security_opt", json!(["apparmor=unconfined"]), "security_opt"),
        ("group_add", json!(["29"]), "group_add"),
        ("user", json!("1000"), "user"),
        ("working_dir", json!("/other"), "working_dir"),
        ("hostname", json!("h"), "hostname"),
        ("domainname", json!("d"), "domainname"),
        ("network_mode", json!("none"), "network_mode"),
        ("network_mode", json!("service:vpn"), "network_mode"),
        ("networks", json!(["default", "back"]), "network u_back"),
        ("networks", json!({"default": {"aliases": ["b"]}}), "network u_default"),
        ("networks", json!({"default": {"ipv4_address": "10.0.0.2"}}), "network u_default"),
        ("ports", json!(["80:81"]), "ports"),
        ("expose", json!(["90"]), "expose"),
        ("extra_hosts", json!(["a:1.1.1.1"]), "extra_hosts"),
        ("dns", json!("1.1.1.1"), "dns"),
        ("dns_search", json!("a"), "dns_search"),
        ("dns_opt", json!(["ndots:1"]), "dns_opt"),
        ("volumes", json!(["data:/data"]), "volume /data"),
        ("volumes", json!(["/anonymous"]), "volume /anonymous"),
        ("volumes", json!([{"type": "tmpfs", "target": "/m"}]), "volume /m"),
        ("tmpfs", json!("/run"), "tmpfs"),
        ("devices", json!(["/dev/a"]), "devices"),
        ("device_cgroup_rules", json!(["c 1:3 mr"]), "device_cgroup_rules"),
        ("mem_limit", json!("64m"), "mem_limit"),
        ("mem_reservation", json!("64m"), "mem_reservation"),
        ("memswap_limit", json!("640m"), "memswap_limit"),
        ("mem_swappiness", json!(10), "mem_swappiness"),
        ("shm_size", json!("1m"), "shm_size"),
        ("cpu_shares", json!(5), "cpu_shares"),
        ("cpu_quota", json!(5000), "cpu_quota"),
        ("cpu_period", json!(5000), "cpu_period"),
        ("cpuset", json!("0"), "cpuset"),
        ("oom_score_adj", json!(5), "oom_score_adj"),
        ("oom_kill_disable", json!(true), "oom_kill_disable"),
        ("pids_limit", json!(5), "pids_limit"),
        ("ulimits", json!({"nofile": 5}), "ulimits"),
        ("sysctls", json!({"a": 1}), "sysctls"),
        ("stop_signal", json!("SIGINT"), "stop_signal"),
        ("stop_grace_period", json!("1m"), "stop_grace_period"),
        ("healthcheck", json!({"test": "true"}), "healthcheck"),
        ("healthcheck", json!({"interval": "1m"}), "healthcheck"),
        ("healthcheck", json!({"disable": true}), "healthcheck"),
        ("ipc", json!("host"), "ipc"),
        ("pid", json!("host"), "pid"),
        ("userns_mode", json!("host"), "userns_mode"),
        ("cgroup_parent", json!("/x"), "cgroup_parent"),
    ]
}

#[test]
fn every_field_is_equal_to_itself_and_named_when_it_changes() {
    let plain = wanted(&json!({}));
    for (field, value, name) in fields() {
        let changed = wanted(&json!({ field: value }));
        assert_eq!(differences(&read_back(&changed, &image()), &changed), [""; 0], "{field}: {value}");
        let found = differences(&read_back(&plain, &image()), &changed);
        assert!(found.contains(&name.to_owned()), "{field}: {value} appeared: {found:?}");
        // Networks that are no longer wanted do not matter.
        let disappearing = if field == "networks" { "" } else { name };
        let found = differences(&read_back(&changed, &image()), &plain);
        assert!(disappearing.is_empty() || found.contains(&name.to_owned()), "{field}: {value} went: {found:?}");
        assert!(!found.iter().any(|text| text.contains("secret")));
    }
}

#[test]
fn runtime_and_logging_count_only_when_asked_for() {
    let plain = wanted(&json!({}));
    for (field, value) in
        [("runtime", json!("other")), ("logging", json!({"driver": "none"})), ("logging", json!({"options": {"a": "b"}}))]
    {
        let asked = wanted(&json!({ field: value }));
        assert_eq!(differences(&read_back(&plain, &image()), &asked), [field]);
        assert_eq!(differences(&read_back(&asked, &image()), &plain), [""; 0]);
    }
}

#[test]
fn what_does_not_count() {
    let spec = wanted(&json!({"mem_limit": "64m"}));
    let mut present = read_back(&spec, &image());
    open(&mut present).name = "main_1_1_other".into();
    open(&mut present).options.nano_cpus = 5;
    open(&mut present).options.pids_limit = -1;
    open(&mut present).options.mem_swappiness = Some(-1);
    on_supervisor_network(open(&mut present));
    for variable in ["BALENA_DEVICE_NAME_AT_INIT", "RESIN_APP_NAME", "BALENA_HOST_OS_VERSION"] {
        open(&mut present).environment.insert(variable.into(), "earlier".into());
    }
    open(&mut present).environment.remove("RESIN_HOST_OS_VERSION");
    assert_eq!(differences(&present, &spec), [""; 0]);
    // A kernel without swap accounting, and one that cannot limit memory at all.
    open(&mut present).options.memswap_limit_bytes = -1;
    assert_eq!(differences(&present, &spec), [""; 0]);
    open(&mut present).options.mem_limit_bytes = 0;
    assert_eq!(differences(&present, &spec), [""; 0]);
}

#[test]
fn variables_are_named_and_never_shown() {
    let spec = wanted_with(&json!({"A": "hidden", "B": "hidden"}), &json!({}), &json!({}));
    let mut present = read_back(&spec, &image());
    open(&mut present).environment.insert("A".into(), "hidden too".into());
    open(&mut present).environment.remove("B");
    open(&mut present).environment.insert("GONE".into(), "hidden as well".into());
    assert_eq!(differences(&present, &spec), ["environment A, B, GONE"]);
}

#[test]
fn images() {
    let mut spec = wanted(&json!({}));
    let mut present = read_back(&spec, &image());
    spec.image = "sha256:2222".into();
    assert_eq!(differences(&present, &spec), ["image"]);
    spec.image = "a:latest".into();
    assert_eq!(differences(&present, &spec), ["image"]);
    open(&mut present).image = "a:latest".into();
    assert_eq!(differences(&present, &spec), [""; 0]);
    let digest = "sha256:0123456789abcdef0123456789abcdef";
    (open(&mut present).image, spec.image) = (format!("x/a@{digest}"), format!("y/a:1@{digest}"));
    assert_eq!(differences(&present, &spec), [""; 0]);
    spec.image = IMAGE.into();
    assert_eq!(differences(&present, &spec), [""; 0]);
}

#[test]
fn without_the_image_only_what_is_asked_for_counts() {
    for (field, value, name) in fields() {
        let asked = wanted(&json!({ field: value }));
        let mut present = read_back(&asked, &image());
        present.image_config = None;
        assert_eq!(differences(&present, &asked), [""; 0], "{field}");
        let mut present = read_back(&wanted(&json!({})), &image());
        present.image_config = None;
        assert!(differences(&present, &asked).contains(&name.to_owned()), "{field}: {value}");
    }
}

#[test]
fn forms_that_mean_the_same() {
    let long =
        wanted(&json!({"volumes": [{"type": "volume", "source": "data", "target": "/d", "read_only": true}, "more:/m:rw"]}));
    let short = wanted(&json!({"volumes": ["data:/d/:ro", "more:/m"]}));
    assert_eq!(differences(&read_back(&long, &image()), &short), [""; 0]);
    assert_eq!(differences(&read_back(&short, &image()), &long), [""; 0]);
    let bridge = wanted(&json!({"network_mode": "bridge"}));
    let mut present = read_back(&bridge, &image());
    open(&mut present).network_mode = NetworkMode::Network("default".into());
    assert_eq!(differences(&present, &bridge), [""; 0]);
    let host = wanted(&json!({"network_mode": "host"}));
    assert_eq!(host.hostname, facts().hostname);
    assert_eq!(differences(&read_back(&host, &image()), &host), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_container_equals_its_own_specification(
        chosen in prop::sample::subsequence(fields(), 0..fields().len()),
        has_defaults in any::<bool>(),
        variables in prop::collection::btree_map("[A-Z]{1,3}", "[a-z]{0,3}", 0..5),
    ) {
        let composition: Map<String, Value> = chosen.into_iter().map(|(field, value, _)| (field.to_owned(), value)).collect();
        let shares_stack = composition.get("network_mode") == Some(&json!("service:vpn"));
        let composition: Map<String, Value> = composition.into_iter()
            .filter(|(field, _)| !(shares_stack && matches!(field.as_str(), "ports" | "expose" | "hostname" | "dns" | "extra_hosts")))
            .filter(|(field, _)| field != "networks")
            .collect();
        let spec = wanted_with(&json!(variables), &json!({}), &composition.into());
        let image = if has_defaults { image() } else { ImageConfig::default() };
        prop_assert_eq!(differences(&read_back(&spec, &image), &spec), [""; 0]);
    }
}
