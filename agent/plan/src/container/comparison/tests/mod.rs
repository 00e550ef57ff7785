//! Containers as an engine reads them back, against what is wanted.

mod adopted;
mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::container::{
    ContainerSpec, Endpoint, Healthcheck, ImageConfig, Logging, NetworkMode, Port, Protocol, SUPERVISOR_NETWORK, specify,
};
use crate::current::{Container, ContainerState};
use crate::facts::Facts;
use crate::target::parse;

const IMAGE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn facts() -> Facts {
    Facts {
        uuid: "dev".into(),
        device_name: Some("river".into()),
        device_type: Some("raspberrypi4-64".into()),
        device_arch: Some("aarch64".into()),
        os_version: Some("balenaOS 5.1.20".into()),
        hostname: Some("host7".into()),
        api_port: 48484,
        lock_root: "/tmp/balena-supervisor/services".into(),
        service_keys: BTreeMap::from([((5, "main".to_owned()), "secret".to_owned())]),
        ..Facts::default()
    }
}

/// The container that a service `main` with this composition asks for.
fn wanted(composition: &Value) -> ContainerSpec {
    wanted_with(&json!({"FOO": "1"}), &json!({}), composition)
}

fn wanted_with(environment: &Value, labels: &Value, composition: &Value) -> ContainerSpec {
    let service = |id: u64| json!({"id": id, "image_id": 9, "image": "a", "environment": environment, "labels": labels});
    let mut main = service(7);
    main["composition"] = composition.clone();
    let document = json!({"dev": {"name": "n", "config": {}, "apps": {"u": {"id": 5, "name": "fleet", "releases": {"c0ffee": {
        "id": 3, "volumes": {"data": {}, "more": {}}, "networks": {"back": {}}, "services": {"main": main, "vpn": service(8)}}}}}}});
    let target = parse(&document, "dev").unwrap();
    assert!(target.refused.is_empty(), "{:?}", target.refused);
    let app = &target.apps["u"];
    let release = app.release.as_ref().unwrap();
    let service = &release.services["main"];
    assert_eq!(service.unsupported, []);
    specify(app, release, service, &facts(), Some(IMAGE))
}

/// An image with something in every field.
fn image() -> ImageConfig {
    ImageConfig {
        command: vec!["serve".into()],
        entrypoint: vec!["/init".into()],
        environment: BTreeMap::from([("PATH".into(), "/bin".into()), ("FOO".into(), "image".into())]),
        labels: BTreeMap::from([("io.resin.features.nothing".into(), "1".into()), ("maintainer".into(), "me".into())]),
        user: "app".into(),
        working_dir: "/app".into(),
        stop_signal: Some("SIGQUIT".into()),
        healthcheck: Some(Healthcheck {
            test: Some(vec!["CMD".into(), "check".into()]),
            interval_ns: Some(7_000_000_000),
            ..Healthcheck::default()
        }),
        volumes: BTreeSet::from(["/var/lib/app".into()]),
        exposed: BTreeSet::from([Port { protocol: Protocol::Tcp, number: 8000 }]),
    }
}

/// What Docker 20.10 shows of a container made from `spec`.
fn read_back(spec: &ContainerSpec, image: &ImageConfig) -> Container {
    let id = "0123456789abcdef0123456789abcdef";
    let mut is = spec.clone();
    for (name, value) in &image.environment {
        is.environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (name, value) in &image.labels {
        is.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    is.hostname.get_or_insert_with(|| id[..12].to_owned());
    is.exposed.extend(image.exposed.iter().copied().chain(is.ports.iter().map(|binding| binding.port)));
    is.anonymous_volumes.extend(image.volumes.iter().cloned());
    if let NetworkMode::Service(_) = is.network_mode {
        is.network_mode = NetworkMode::Container("fedcba".into());
        is.hostname = Some("of-the-other".into());
    }
    if is.networks.is_empty() && is.network_mode == NetworkMode::Bridge {
        is.networks.insert("bridge".into(), Endpoint::default());
    }
    for endpoint in is.networks.values_mut() {
        endpoint.aliases.insert(id[..12].to_owned());
    }
    fill_in_options(&mut is, image);
    container(id, is, image.clone())
}

fn fill_in_options(is: &mut ContainerSpec, image: &ImageConfig) {
    let options = &mut is.options;
    // The engine takes the image's command only along with its entry point.
    let has_entrypoint = options.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    if options.command.as_ref().is_none_or(Vec::is_empty) && !has_entrypoint {
        options.command = Some(image.command.clone());
    }
    options.entrypoint.get_or_insert_with(|| image.entrypoint.clone());
    options.user.get_or_insert_with(|| image.user.clone());
    options.working_dir.get_or_insert_with(|| image.working_dir.clone());
    if options.stop_signal.is_none() {
        options.stop_signal.clone_from(&image.stop_signal);
    }
    options.healthcheck = merged_check(options.healthcheck.take(), image.healthcheck.clone());
    if options.mem_limit_bytes > 0 && options.memswap_limit_bytes == 0 {
        options.memswap_limit_bytes = options.mem_limit_bytes * 2;
    }
    if options.privileged {
        options.security_opt.insert("label=disable".into());
    }
    options.cap_add = options.cap_add.iter().map(|name| format!("CAP_{name}")).collect();
    options.runtime.get_or_insert_with(|| "runc".into());
    options.logging.get_or_insert_with(|| Logging { driver: "json-file".into(), options: BTreeMap::new() });
}

fn merged_check(asked: Option<Healthcheck>, image: Option<Healthcheck>) -> Option<Healthcheck> {
    match (asked, image) {
        (Some(asked), Some(image)) => Some(Healthcheck {
            test: asked.test.or(image.test),
            interval_ns: asked.interval_ns.or(image.interval_ns).or(Some(0)),
            timeout_ns: asked.timeout_ns.or(image.timeout_ns).or(Some(0)),
            start_period_ns: asked.start_period_ns.or(image.start_period_ns).or(Some(0)),
            retries: asked.retries.or(image.retries).or(Some(0)),
        }),
        (asked, image) => asked.or(image),
    }
}

fn container(id: &str, spec: ContainerSpec, image: ImageConfig) -> Container {
    Container {
        id: id.into(),
        app_id: 5,
        app_uuid: Some("u".into()),
        service: "main".into(),
        service_id: Some(7),
        commit: "c0ffee".into(),
        release_id: Some(3),
        cloud_image_id: Some(9),
        handing_over: false,
        image_id: IMAGE.into(),
        created_ms: 0,
        started_ms: None,
        finished_ms: None,
        state: ContainerState::Running,
        exit_code: 0,
        error: String::new(),
        health: None,
        restart_count: 0,
        spec: Arc::new(spec),
        image_config: Some(Arc::new(image)),
    }
}

/// The specification, to be changed.
fn open(container: &mut Container) -> &mut ContainerSpec {
    Arc::make_mut(&mut container.spec)
}

fn on_supervisor_network(spec: &mut ContainerSpec) {
    spec.networks.insert(SUPERVISOR_NETWORK.into(), Endpoint::default());
}
