//! A container made by balena-supervisor (behaviour §4), as Docker shows it: it must be taken over as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{IMAGE, container, facts};
use crate::container::{
    ContainerSpec, Endpoint, Healthcheck, ImageConfig, Logging, NetworkMode, Options, Port, PortBinding, Protocol, differences,
    specify,
};
use crate::target::parse;

const UUID: &str = "11111111222222223333333344444444";

fn texts<C: FromIterator<String>>(texts: &[&str]) -> C {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn wanted() -> ContainerSpec {
    let document = json!({"dev": {"name": "renamed-since", "config": {}, "apps": { UUID: {"id": 1234, "name": "renamed-too", "class": "fleet",
    "releases": {"aaaabbbb": {"id": 55, "networks": {"default": {}}, "volumes": {"data": {}}, "services": {"main": {
        "id": 7, "image_id": 99, "image": "registry2.balena-cloud.com/v2/0f0e@sha256:0123456789abcdef0123456789abcdef",
        "environment": {"FOO": "bar"},
        "labels": {"io.resin.features.supervisor-api": "1", "io.balena.features.dbus": "1", "io.balena.features.journal-logs": "1"},
        "composition": {
            "command": null, "networks": {"default": null}, "volumes": ["data:/data"], "ports": ["80:8080", "9000-9001:9000-9001/udp"],
            "restart": "always", "cap_add": ["NET_ADMIN"], "mem_limit": "256m", "privileged": true, "depends_on": [],
        }}}}}}}}});
    let target = parse(&document, "dev").unwrap();
    let app = &target.apps[UUID];
    let release = app.release.as_ref().unwrap();
    let mut facts = facts();
    facts.service_keys = BTreeMap::from([((1234, "main".to_owned()), "f00d".to_owned())]);
    facts.os_version = Some("balenaOS 6.0.0".into());
    specify(app, release, &release.services["main"], &facts, Some(IMAGE))
}

fn both(name: &str, value: &str) -> [(String, String); 2] {
    [(format!("BALENA_{name}"), value.to_owned()), (format!("RESIN_{name}"), value.to_owned())]
}

fn environment() -> BTreeMap<String, String> {
    let mut environment = pairs(&[
        ("PATH", "/usr/bin:/bin"),
        ("FOO", "bar"),
        ("BALENA", "1"),
        ("RESIN", "1"),
        ("USER", "root"),
        ("RESIN_SERVICE_KILL_ME_PATH", "/tmp/balena/handover-complete"),
        ("BALENA_SERVICE_HANDOVER_COMPLETE_PATH", "/tmp/balena/handover-complete"),
    ]);
    for (name, value) in [
        ("APP_ID", "1234"),
        ("APP_UUID", UUID),
        ("APP_NAME", "my-fleet"),
        ("SERVICE_NAME", "main"),
        ("DEVICE_UUID", "dev"),
        ("DEVICE_TYPE", "raspberrypi4-64"),
        ("DEVICE_ARCH", "aarch64"),
        ("HOST_OS_VERSION", "balenaOS 5.1.20"),
        ("APP_LOCK_PATH", "/tmp/balena/updates.lock"),
        ("DEVICE_NAME_AT_INIT", "quiet-river"),
        ("SUPERVISOR_API_KEY", "f00d"),
        ("SUPERVISOR_PORT", "48484"),
        ("SUPERVISOR_HOST", "10.114.104.1"),
        ("SUPERVISOR_ADDRESS", "http://10.114.104.1:48484"),
    ] {
        environment.extend(both(name, value));
    }
    environment
}

fn networks() -> BTreeMap<String, Endpoint> {
    let endpoint = |aliases: &[&str], ip: &str| Endpoint {
        aliases: texts(aliases),
        // The engine gives every endpoint an address.
        ipv4_address: Some(ip.to_owned()),
        ..Endpoint::default()
    };
    BTreeMap::from([
        (format!("{UUID}_default"), endpoint(&["main", "0123456789ab"], "172.18.0.2")),
        ("supervisor0".to_owned(), endpoint(&["0123456789ab"], "10.114.104.2")),
    ])
}

fn present() -> ContainerSpec {
    let locks = "/tmp/balena-supervisor/services/1234/main";
    let port = |protocol, number| Port { protocol, number };
    let published = |protocol, number, host_port| PortBinding { port: port(protocol, number), host_ip: String::new(), host_port };
    ContainerSpec {
        name: "main_99_55_aaaabbbb".into(),
        image: IMAGE.into(),
        environment: environment(),
        labels: pairs(&[
            ("io.balena.supervised", "true"),
            ("io.balena.app-id", "1234"),
            ("io.balena.app-uuid", UUID),
            ("io.balena.service-id", "7"),
            ("io.balena.service-name", "main"),
            ("io.resin.features.supervisor-api", "1"),
            ("io.resin.features.dbus", "1"),
            ("io.balena.features.journal-logs", "1"),
            ("io.balena.qemu.version", "7"),
        ]),
        hostname: Some("0123456789ab".into()),
        network_mode: NetworkMode::Network(format!("{UUID}_default")),
        networks: networks(),
        ports: BTreeSet::from([
            published(Protocol::Tcp, 8080, 80),
            published(Protocol::Udp, 9000, 9000),
            published(Protocol::Udp, 9001, 9001),
        ]),
        exposed: BTreeSet::from([
            port(Protocol::Tcp, 8080),
            port(Protocol::Udp, 9000),
            port(Protocol::Udp, 9001),
            port(Protocol::Tcp, 22),
        ]),
        binds: texts(&[
            "1234_data:/data",
            &format!("{locks}:/tmp/balena"),
            &format!("{locks}:/tmp/resin"),
            "/run/dbus:/host/run/dbus",
            "/var/log/journal:/var/log/journal:ro",
            "/run/log/journal:/run/log/journal:ro",
            "/etc/machine-id:/etc/machine-id:ro",
        ]),
        mounts: BTreeSet::new(),
        anonymous_volumes: texts(&["/var/cache/app"]),
        options: options(),
    }
}

fn options() -> Options {
    Options {
        command: Some(texts(&["/bin/sh", "-c", "start"])),
        entrypoint: Some(texts(&["/usr/bin/entry.sh"])),
        user: Some(String::new()),
        working_dir: Some("/usr/src/app".into()),
        stop_signal: Some("SIGTERM".into()),
        healthcheck: Some(Healthcheck {
            test: Some(texts(&["NONE"])),
            interval_ns: Some(0),
            timeout_ns: Some(0),
            start_period_ns: Some(0),
            retries: Some(0),
        }),
        cap_add: texts(&["CAP_NET_ADMIN"]),
        security_opt: texts(&["label=disable"]),
        privileged: true,
        runtime: Some("runc".into()),
        logging: Some(Logging { driver: "journald".into(), options: BTreeMap::new() }),
        mem_limit_bytes: 256 << 20,
        memswap_limit_bytes: 512 << 20,
        ..Options::default()
    }
}

fn image() -> ImageConfig {
    ImageConfig {
        command: texts(&["/bin/sh", "-c", "start"]),
        entrypoint: texts(&["/usr/bin/entry.sh"]),
        environment: pairs(&[("PATH", "/usr/bin:/bin")]),
        labels: pairs(&[("io.balena.qemu.version", "7")]),
        working_dir: "/usr/src/app/".into(),
        volumes: texts(&["/var/cache/app"]),
        exposed: BTreeSet::from([Port { protocol: Protocol::Tcp, number: 22 }]),
        ..ImageConfig::default()
    }
}

#[test]
fn it_stays_as_it_is() {
    assert_eq!(differences(&container("0123456789abcdef", present(), image()), &wanted()), [""; 0]);
    let mut without_image = container("0123456789abcdef", present(), image());
    without_image.image_config = None;
    assert_eq!(differences(&without_image, &wanted()), [""; 0]);
}

#[test]
fn what_did_change_is_named() {
    let mut wanted = wanted();
    wanted.environment.insert("FOO".into(), "baz".into());
    wanted.labels.insert("io.balena.features.dbus".into(), "0".into());
    wanted.binds.remove("1234_data:/data");
    wanted.ports.pop_last();
    wanted.options.healthcheck = Some(Healthcheck { test: Some(texts(&["CMD", "true"])), ..Healthcheck::default() });
    let found = differences(&container("0123456789abcdef", present(), image()), &wanted);
    assert_eq!(found, ["environment FOO", "label io.balena.features.dbus", "ports", "expose", "volume /data", "healthcheck"]);
}
