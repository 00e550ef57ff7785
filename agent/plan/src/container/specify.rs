//! From a service of the target to the container it asks for (behaviour §4, protocol §18).

use std::collections::BTreeMap;

use super::environment::{Environment, LOCK_DIRECTORIES};
use super::{ContainerName, ContainerSpec, Endpoint, Mount, NetworkMode, features};
use crate::facts::Facts;
use crate::target::{App, AppId, AppUuid, MountSource, NetworkChoice, Release, Service, ServiceMount};

/// Name of a release's network in the engine, `<appUuid>_<name>` (behaviour §5).
pub fn network_name(app: &AppUuid, name: &str) -> String {
    format!("{app}_{name}")
}

/// Name of a release's volume in the engine, `<appId>_<name>` (behaviour §5).
pub fn volume_name(app: AppId, name: &str) -> String {
    format!("{app}_{name}")
}

/// The app in the name of a volume; `None` in a name that is nobody's of that form.
pub fn volume_owner(name: &str) -> Option<AppId> {
    name.split_once('_')?.0.parse().ok()
}

/// The container a service asks for. `engine_image` is the engine's id of its image, where known; else the image is given
/// by its reference. A `service:` network mode stays unresolved ([`NetworkMode::Service`]).
pub fn specify(app: &App, release: &Release, service: &Service, facts: &Facts, engine_image: Option<&str>) -> ContainerSpec {
    let mut spec = ContainerSpec {
        name: container_name(release, service),
        image: engine_image.map_or_else(|| service.image.to_string(), str::to_owned),
        environment: BTreeMap::new(),
        labels: labels(app, service),
        hostname: service.hostname.clone(),
        network_mode: network_mode(app, &service.network_mode),
        networks: networks(app, service),
        ports: service.ports.clone(),
        exposed: service.expose.clone(),
        options: service.options.clone(),
        ..ContainerSpec::default()
    };
    if spec.network_mode == NetworkMode::Host && spec.hostname.is_none() {
        spec.hostname = facts.hostname.clone();
    }
    for mount in &service.mounts {
        add_mount(app, mount, &mut spec);
    }
    for place in LOCK_DIRECTORIES {
        spec.binds.insert(format!("{}/{}/{}:{place}", facts.lock_root, app.id, service.name));
    }
    let mut environment = Environment::of(app, service, facts);
    features::add(app, service, facts, &mut spec, &mut environment);
    spec.environment = environment.under(&service.environment);
    spec
}

/// Name of a service's container in the engine (behaviour §4.4).
pub fn container_name(release: &Release, service: &Service) -> String {
    ContainerName {
        handing_over: false,
        service: service.name.clone(),
        image_id: service.image_id,
        release_id: release.id,
        commit: release.commit.clone(),
    }
    .to_string()
}

/// The user's labels and, over them, those the agent recognises its containers by (protocol §18.4).
fn labels(app: &App, service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels.clone();
    for (label, value) in [
        ("io.balena.supervised", "true".to_owned()),
        ("io.balena.app-id", app.id.to_string()),
        ("io.balena.app-uuid", app.uuid.clone()),
        ("io.balena.service-id", service.id.to_string()),
        ("io.balena.service-name", service.name.clone()),
    ] {
        labels.insert(label.to_owned(), value);
    }
    labels
}

fn network_mode(app: &App, choice: &NetworkChoice) -> NetworkMode {
    match choice {
        NetworkChoice::Host => NetworkMode::Host,
        NetworkChoice::None => NetworkMode::None,
        NetworkChoice::Bridge => NetworkMode::Bridge,
        NetworkChoice::Network(name) => NetworkMode::Network(network_name(&app.uuid, name)),
        NetworkChoice::Service(name) => NetworkMode::Service(name.clone()),
    }
}

fn networks(app: &App, service: &Service) -> BTreeMap<String, Endpoint> {
    let endpoint = |(name, network): (&String, &crate::target::ServiceNetwork)| {
        let mut aliases = network.aliases.clone();
        aliases.insert(service.name.clone());
        let endpoint = Endpoint {
            aliases,
            ipv4_address: network.ipv4_address.clone(),
            ipv6_address: network.ipv6_address.clone(),
            link_local_ips: network.link_local_ips.clone(),
        };
        (network_name(&app.uuid, name), endpoint)
    };
    service.networks.iter().map(endpoint).collect()
}

fn add_mount(app: &App, mount: &ServiceMount, spec: &mut ContainerSpec) {
    let target = mount.target.clone();
    match &mount.source {
        MountSource::Short { volume, mode } => {
            let mode = mode.as_deref().map(|mode| format!(":{mode}")).unwrap_or_default();
            spec.binds.insert(format!("{}:{target}{mode}", volume_name(app.id, volume)));
        }
        MountSource::Volume { volume, read_only, nocopy } => {
            let source = volume_name(app.id, volume);
            spec.mounts.insert(Mount::Volume { source, target, read_only: *read_only, nocopy: *nocopy });
        }
        MountSource::Tmpfs { size, read_only } => {
            spec.mounts.insert(Mount::Tmpfs { target, size: *size, read_only: *read_only });
        }
        MountSource::Anonymous => {
            spec.anonymous_volumes.insert(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::container::SUPERVISOR_NETWORK;
    use crate::target::parse;

    fn facts() -> Facts {
        Facts {
            uuid: "dev".into(),
            device_name: Some("quiet-river".into()),
            device_type: Some("raspberrypi4-64".into()),
            board_rev: Some("7".into()),
            hostname: Some("host7".into()),
            api_endpoint: Some("https://api.example.com".into()),
            device_api_key: Some("key".into()),
            api_port: 48484,
            service_keys: BTreeMap::from([((5, "main".to_owned()), "secret".to_owned())]),
            lock_root: "/tmp/balena-supervisor/services".into(),
            engine_socket: Some("/run/e.sock".into()),
            host_paths: BTreeSet::from(["/lib/modules".to_owned()]),
            ..Facts::default()
        }
    }

    fn spec_of(environment: Value, labels: Value, composition: Value) -> ContainerSpec {
        let service = |composition: Value| {
            json!({"id": 7, "image_id": 9, "image": "r.example.com/v2/a", "environment": environment, "labels": labels,
                "composition": composition})
        };
        let document = json!({"dev": {"name": "n", "config": {}, "apps": {"u": {"id": 5, "name": "fleet", "releases": {"c0ffee": {
            "id": 3, "volumes": {"data": {}}, "networks": {"back": {}},
            "services": {"main": service(composition), "vpn": {
                "id": 8, "image_id": 10, "image": "b", "environment": {}, "labels": {}}}}}}}}});
        let target = parse(&document, "dev").unwrap();
        assert!(target.refused.is_empty(), "{:?}", target.refused);
        let app = &target.apps["u"];
        let release = app.release.as_ref().unwrap();
        specify(app, release, &release.services["main"], &facts(), None)
    }

    #[test]
    fn names_labels_environment_and_locks() {
        let spec = spec_of(
            json!({"FOO": "1", "USER": "me", "RESIN_APP_NAME": "mine"}),
            json!({"io.balena.app-id": "6", "x": "y"}),
            json!({}),
        );
        assert_eq!((spec.name.as_str(), spec.image.as_str()), ("main_9_3_c0ffee", "r.example.com/v2/a:latest"));
        let label = |name: &str| spec.labels.get(name).map(String::as_str);
        assert_eq!((label("io.balena.supervised"), label("io.balena.app-id"), label("x")), (Some("true"), Some("5"), Some("y")));
        assert_eq!((label("io.balena.app-uuid"), label("io.balena.service-id")), (Some("u"), Some("7")));
        assert_eq!(label("io.balena.service-name"), Some("main"));
        for (variable, wanted) in [
            ("FOO", Some("1")),
            ("USER", Some("me")),
            ("RESIN_APP_NAME", Some("mine")),
            ("BALENA_APP_NAME", Some("fleet")),
            ("BALENA_APP_ID", Some("5")),
            ("RESIN_APP_UUID", Some("u")),
            ("BALENA_SERVICE_NAME", Some("main")),
            ("RESIN_DEVICE_UUID", Some("dev")),
            ("BALENA_DEVICE_TYPE", Some("raspberrypi4-64")),
            ("BALENA_DEVICE_ARCH", None),
            ("BALENA_HOST_OS_VERSION", None),
            ("BALENA_APP_LOCK_PATH", Some("/tmp/balena/updates.lock")),
            ("RESIN_DEVICE_NAME_AT_INIT", Some("quiet-river")),
            ("BALENA", Some("1")),
            ("RESIN", Some("1")),
            ("RESIN_SERVICE_KILL_ME_PATH", Some("/tmp/balena/handover-complete")),
            ("BALENA_SERVICE_HANDOVER_COMPLETE_PATH", Some("/tmp/balena/handover-complete")),
            ("BALENA_SUPERVISOR_API_KEY", None),
        ] {
            assert_eq!(spec.environment.get(variable).map(String::as_str), wanted, "{variable}");
        }
        let locks = "/tmp/balena-supervisor/services/5/main";
        assert_eq!(spec.binds, BTreeSet::from([format!("{locks}:/tmp/balena"), format!("{locks}:/tmp/resin")]));
    }

    #[test]
    fn networks_carry_the_service_name() {
        let spec = spec_of(
            json!({}),
            json!({}),
            json!({"networks": {"back": {"aliases": ["b"], "ipv4_address": "10.0.0.2"}, "default": null}}),
        );
        assert_eq!(spec.network_mode, NetworkMode::Network("u_back".into()));
        assert_eq!(spec.networks["u_back"].aliases, BTreeSet::from(["b".into(), "main".into()]));
        assert_eq!(spec.networks["u_back"].ipv4_address.as_deref(), Some("10.0.0.2"));
        assert_eq!(spec.networks["u_default"].aliases, BTreeSet::from(["main".into()]));
        for (mode, wanted, hostname) in [
            ("host", NetworkMode::Host, Some("host7")),
            ("none", NetworkMode::None, None),
            ("bridge", NetworkMode::Bridge, None),
            ("service:vpn", NetworkMode::Service("vpn".into()), None),
        ] {
            let spec = spec_of(json!({}), json!({}), json!({ "network_mode": mode }));
            assert_eq!((spec.network_mode, spec.networks.len(), spec.hostname.as_deref()), (wanted, 0, hostname), "{mode}");
        }
    }

    #[test]
    fn mounts_get_engine_names() {
        let volumes = json!(["data:/a:ro", "/anonymous", {"type": "volume", "source": "data", "target": "/b", "read_only": true},
            {"type": "tmpfs", "target": "/c"}]);
        let spec = spec_of(json!({}), json!({}), json!({"volumes": volumes, "ports": ["80:81"], "expose": ["82"]}));
        assert!(spec.binds.contains("5_data:/a:ro"));
        assert_eq!(spec.anonymous_volumes, BTreeSet::from(["/anonymous".into()]));
        let volume = Mount::Volume { source: "5_data".into(), target: "/b".into(), read_only: true, nocopy: false };
        assert_eq!(spec.mounts, BTreeSet::from([volume, Mount::Tmpfs { target: "/c".into(), size: 0, read_only: false }]));
        assert_eq!((spec.ports.len(), spec.exposed.len()), (1, 1));
    }

    #[test]
    fn features() {
        let with = |feature: &str, composition: Value| {
            spec_of(json!({}), json!({ format!("io.resin.features.{feature}"): "on" }), composition)
        };
        let api = with("supervisor-api", json!({}));
        assert!(api.networks.contains_key(SUPERVISOR_NETWORK));
        assert_eq!(api.environment["RESIN_SUPERVISOR_API_KEY"], "secret");
        assert_eq!(api.environment["BALENA_SUPERVISOR_ADDRESS"], "http://10.114.104.1:48484");
        let api = with("supervisor-api", json!({"network_mode": "host"}));
        assert!(api.networks.is_empty());
        assert_eq!(api.environment["BALENA_SUPERVISOR_HOST"], "127.0.0.1");
        assert_eq!(with("resin-api", json!({})).environment["BALENA_API_URL"], "https://api.example.com");
        assert_eq!(with("host-os.board-rev", json!({})).environment["RESIN_HOST_OS_BOARD_REV"], "7");
        assert_eq!(with("gpu", json!({})).options.gpus, 1);
        let socket = with("balena-socket", json!({}));
        assert_eq!(socket.environment["DOCKER_HOST"], "unix:///host/run/balena-engine.sock");
        for (feature, bind) in [
            ("balena-socket", "/run/e.sock:/host/run/balena-engine.sock"),
            ("balena-socket", "/run/e.sock:/run/e.sock"),
            ("balena-socket", "/run/e.sock:/var/run/balena.sock"),
            ("dbus", "/run/dbus:/host/run/dbus"),
            ("sysfs", "/sys:/sys"),
            ("procfs", "/proc:/proc"),
            ("kernel-modules", "/lib/modules:/lib/modules"),
            ("journal-logs", "/etc/machine-id:/etc/machine-id:ro"),
            ("extra-firmware", "extra-firmware:/extra-firmware"),
        ] {
            assert!(with(feature, json!({})).binds.contains(bind), "{feature}");
        }
        assert_eq!(with("firmware", json!({})).binds.len(), 2, "the host has no /lib/firmware");
        let off = spec_of(json!({}), json!({"io.balena.features.dbus": "0"}), json!({}));
        assert_eq!(off.binds.len(), 2);
    }
}
