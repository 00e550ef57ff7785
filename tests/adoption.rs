//! Taking over from balena-supervisor: what it made for the same release stays as it is, and while it runs nobody else acts.
// needs: engine

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Container, Engine, History, Release, Role, Service, Site, check, ids, wait_for};

const API_KEY: &str = "00112233445566778899aabbccddeeff";

/// The release, as the cloud words it for today's agent.
fn release(name: &str, main: &str, other: &str) -> Release {
    let main = Service::new(main)
        .variable("COLOUR", "green")
        .label("io.balena.features.supervisor-api", "1")
        .label("io.resin.features.procfs", "1")
        .field("command", Value::Null)
        .field("cap_add", json!(["NET_ADMIN"]))
        .field("mem_limit", json!("64m"))
        .field("ports", json!(["18080:80"]))
        .field("restart", json!("always"))
        .field("tmpfs", json!(["/scratch"]))
        .mount("data:/data");
    let other = Service::new(other)
        .field("network_mode", json!("host"))
        .field("healthcheck", json!({ "test": "true", "interval": "5s" }));
    Release::new(name).service("main", main).service("other", other).volume("data")
}

/// A device without a label scope, as in the field, whose engine is its own.
fn device(engine: &Engine) -> Site<'_> {
    let mut site = Site::on(engine);
    site.device.unset("HOLDFAST_SCOPE");
    site
}

/// Makes everything of a release as balena-supervisor does.
struct Balena<'s, 'e> {
    site: &'s Site<'e>,
    release: &'s Release,
}

impl Balena<'_, '_> {
    fn call(&self, path: &str, body: &Value) -> Value {
        let answer = self.site.engine.call("POST", path, body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    fn install(&self, main: &str, other: &str) {
        let app = &self.site.app;
        for image in [main, other] {
            self.site.engine.call("POST", &format!("/images/create?fromImage={image}"), &Value::Null);
        }
        let supervised = json!({ "io.balena.supervised": "true", "io.balena.app-id": app.id.to_string() });
        let network = |name: &str, options: Value, pools: Value, labels: &Value| {
            json!({ "Name": name, "Driver": "bridge", "CheckDuplicate": true, "EnableIPv6": false, "Internal": false,
                "Options": options, "IPAM": { "Driver": "default", "Config": pools, "Options": {} }, "Labels": labels })
        };
        self.call("/networks/create", &network(&app.network("default"), json!({}), json!([]), &supervised));
        let pool = json!([{ "Subnet": "10.114.104.0/25", "Gateway": "10.114.104.1" }]);
        let bridge = json!({ "com.docker.network.bridge.name": "supervisor0" });
        self.call("/networks/create", &network("supervisor0", bridge, pool, &json!({ "io.balena.supervised": "true" })));
        let labels = json!({ "io.balena.supervised": "true", "io.balena.app-uuid": app.uuid });
        self.call(
            "/volumes/create",
            &json!({ "Name": app.volume("data"), "Driver": "local", "DriverOpts": {}, "Labels": labels }),
        );

        let main_id = self.create("main", &self.main(main));
        self.call("/networks/supervisor0/connect", &json!({ "Container": main_id, "EndpointConfig": {} }));
        let other_id = self.create("other", &self.other(other));
        for id in [main_id, other_id] {
            self.call(&format!("/containers/{id}/start"), &Value::Null);
        }
    }

    fn create(&self, service: &str, body: &Value) -> String {
        let name = self.release.container_name(service);
        self.call(&format!("/containers/create?name={name}"), body)["Id"].as_str().expect("an id").to_owned()
    }

    fn environment(&self, service: &str, own: &[&str]) -> Vec<String> {
        let Site { app, device, .. } = self.site;
        let both = [
            ("APP_ID", app.id.to_string()),
            ("APP_UUID", app.uuid.clone()),
            ("APP_NAME", "called otherwise then".to_owned()),
            ("APP_LOCK_PATH", "/tmp/balena/updates.lock".to_owned()),
            ("SERVICE_NAME", service.to_owned()),
            ("DEVICE_UUID", device.uuid.clone()),
            ("DEVICE_TYPE", "generic-amd64".to_owned()),
            ("DEVICE_ARCH", arch()),
            ("HOST_OS_VERSION", "balenaOS 5.1.20".to_owned()),
            ("DEVICE_NAME_AT_INIT", "named otherwise then".to_owned()),
        ];
        let both = both.iter().flat_map(|(name, value)| [format!("RESIN_{name}={value}"), format!("BALENA_{name}={value}")]);
        let single = [
            "BALENA=1",
            "RESIN=1",
            "USER=root",
            "RESIN_SERVICE_KILL_ME_PATH=/tmp/balena/handover-complete",
            "BALENA_SERVICE_HANDOVER_COMPLETE_PATH=/tmp/balena/handover-complete",
        ];
        single.iter().chain(own).map(|pair| (*pair).to_owned()).chain(both).collect()
    }

    /// What all containers have in common (behaviour of the field: every field is given, most of them empty).
    fn body(&self, service: &str, image: &str, own: &[&str], labels: &[(&str, &str)], binds: &[String]) -> Value {
        let app = &self.site.app;
        let image = self.site.engine.call("GET", &format!("/images/{image}/json"), &Value::Null).json();
        let locks = self.site.device.lock_dir(app, service).display().to_string();
        let locks = [format!("{locks}:/tmp/resin"), format!("{locks}:/tmp/balena")];
        let mut all = json!({
            "io.balena.supervised": "true", "io.balena.app-id": app.id.to_string(), "io.balena.app-uuid": app.uuid,
            "io.balena.service-id": self.release.service_id(service).to_string(), "io.balena.service-name": service,
        });
        labels.iter().for_each(|(label, value)| all[label] = json!(value));
        let mut host = host_config();
        host["Binds"] = json!(binds.iter().chain(&locks).collect::<Vec<_>>());
        json!({
            "Image": image["Id"], "Cmd": image["Config"]["Cmd"], "Entrypoint": [], "Tty": true,
            "Env": self.environment(service, own), "Labels": all, "Volumes": {}, "ExposedPorts": {}, "Domainname": "",
            "Hostname": "", "User": "", "WorkingDir": "", "MacAddress": "", "StopSignal": "SIGTERM", "StopTimeout": 10,
            "Healthcheck": { "Test": ["NONE"] }, "HostConfig": host,
        })
    }

    fn main(&self, image: &str) -> Value {
        let own = [
            "COLOUR=green".to_owned(),
            format!("RESIN_SUPERVISOR_API_KEY={API_KEY}"),
            format!("BALENA_SUPERVISOR_API_KEY={API_KEY}"),
            "RESIN_SUPERVISOR_PORT=48484".to_owned(),
            "BALENA_SUPERVISOR_PORT=48484".to_owned(),
            "RESIN_SUPERVISOR_HOST=10.114.104.1".to_owned(),
            "BALENA_SUPERVISOR_HOST=10.114.104.1".to_owned(),
            "RESIN_SUPERVISOR_ADDRESS=http://10.114.104.1:48484".to_owned(),
            "BALENA_SUPERVISOR_ADDRESS=http://10.114.104.1:48484".to_owned(),
        ];
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let labels = [("io.balena.features.supervisor-api", "1"), ("io.balena.features.procfs", "1")];
        let binds = [format!("{}:/data", self.site.app.volume("data")), "/proc:/proc".to_owned()];
        let mut body = self.body("main", image, &own, &labels, &binds);
        let network = self.site.app.network("default");
        body["NetworkingConfig"] = json!({ "EndpointsConfig": { network.clone(): { "Aliases": ["main"] } } });
        body["ExposedPorts"] = json!({ "80/tcp": {} });
        for (field, value) in [
            ("NetworkMode", json!(network)),
            ("CapAdd", json!(["NET_ADMIN"])),
            ("Memory", json!(64 << 20)),
            ("PortBindings", json!({ "80/tcp": [{ "HostIp": "", "HostPort": "18080" }] })),
            ("Tmpfs", json!({ "/scratch": "" })),
        ] {
            body["HostConfig"][field] = value;
        }
        body
    }

    fn other(&self, image: &str) -> Value {
        let mut body = self.body("other", image, &[], &[], &[]);
        let (_, hostname) = self.site.engine.run_in_network(&["hostname"]);
        body["Hostname"] = json!(hostname.trim());
        body["Healthcheck"] = json!({ "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64 });
        body["HostConfig"]["NetworkMode"] = json!("host");
        body
    }
}

fn host_config() -> Value {
    let mut config = json!({
        "Mounts": [], "CapAdd": [], "CapDrop": [], "CgroupParent": "", "Devices": [], "DeviceRequests": [], "Dns": [],
        "DnsOptions": [], "DnsSearch": [], "PortBindings": {}, "ExtraHosts": [], "GroupAdd": [], "PidMode": "", "PidsLimit": 0,
        "SecurityOpt": [], "Sysctls": {}, "Ulimits": [], "CpuShares": 0, "CpuQuota": 0, "CpusetCpus": "", "Memory": 0,
    });
    let rest = json!({
        "MemoryReservation": 0, "OomKillDisable": false, "OomScoreAdj": 0, "Privileged": false, "ReadonlyRootfs": false,
        "ShmSize": 67_108_864, "Tmpfs": {}, "UsernsMode": "", "NanoCpus": 0, "IpcMode": "shareable",
        "RestartPolicy": { "Name": "always", "MaximumRetryCount": 0 },
    });
    config.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    config
}

fn arch() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "arm" => "armv7hf",
        "x86" => "i386",
        other => other,
    }
    .to_owned()
}

/// What must not change: containers, since when they run, networks and the volume.
fn inventory(site: &Site<'_>) -> Vec<String> {
    let containers = site.engine.containers(&site.app);
    let network = |name: &str| site.engine.call("GET", &format!("/networks/{name}"), &Value::Null).json()["Id"].to_string();
    let volume = site.engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json();
    let container = |c: &Container| format!("{} {} {}", c.id, c.name, c.started_at());
    let mut all: Vec<String> = containers.iter().map(container).collect();
    all.extend([network(&site.app.network("default")), network("supervisor0"), volume["CreatedAt"].to_string()]);
    all
}

#[test]
fn what_balena_supervisor_made_stays_as_it_is() {
    let Some(engine) = Engine::own() else { return };
    let images = [engine.image(Role::Sleeps, "main"), engine.image(Role::Sleeps, "other")];
    let mut site = device(&engine);
    let release = release("first", &images[0], &images[1]);
    Balena { site: &site, release: &release }.install(&images[0], &images[1]);
    let before = inventory(&site);

    let history = History::of(&engine);
    site.want(&release);
    site.join();
    site.wait_settled(&release);
    site.cloud.wait_polls(2);
    assert_eq!(inventory(&site), before);
    let of_containers = history.about(&["container "]);
    let touched: Vec<&String> =
        of_containers.iter().filter(|event| !event.contains(" exec_") && !event.contains("health_status")).collect();
    assert!(touched.is_empty(), "{touched:?}");
    let shown = site.device.command(&["plan"]);
    assert!(shown.stdout.contains("Nothing to do"), "{shown:?}");

    // From here on they are the agent's own: the next release replaces what it changes, and old images go.
    let next = engine.image(Role::Sleeps, "main 2");
    let second = self::release("second", &next, &images[1]);
    let other = engine.service(&site.app, "other").id;
    let after = site.update(&second);
    assert_eq!(after[1].id, other);
    assert_eq!(after[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY), "the key stays valid");
    wait_for("the old image to go", || check(!engine.has_image(&images[0]), "it is there"));
}

#[test]
fn beside_a_running_balena_supervisor_it_only_watches_and_then_takes_over() {
    let Some(engine) = Engine::own() else { return };
    let images = [engine.image(Role::Sleeps, "main"), engine.image(Role::Sleeps, "other")];
    let mut site = device(&engine);
    let first = release("first", &images[0], &images[1]);
    Balena { site: &site, release: &first }.install(&images[0], &images[1]);
    let supervisor = json!({ "Image": images[1], "Tty": true });
    engine.call("POST", "/containers/create?name=balena_supervisor", &supervisor);
    engine.call("POST", "/containers/balena_supervisor/start", &Value::Null);
    let before = inventory(&site);

    // Even with another release as its target.
    let image = engine.image(Role::Sleeps, "main 2");
    let second = release("second", &image, &images[1]);
    site.want(&second);
    site.join();
    let status = site.device.wait_status(&["watch-only", "balena_supervisor"]);
    assert!(status.contains("stop and disable it"), "{status}");
    site.cloud.wait_polls(2);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(inventory(&site), before);
    assert!(!engine.has_image(&image));

    // Once it is stopped the agent goes on by itself, from what is there.
    let kept = engine.service(&site.app, "other").id;
    engine.call("POST", "/containers/balena_supervisor/stop", &Value::Null);
    let after = site.wait_settled(&second);
    assert_eq!(ids(&after)[1], kept);
    assert_eq!(after[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY));
}
