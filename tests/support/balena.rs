//! What balena-supervisor leaves on an engine: containers made by hand the way it makes them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{App, Cloud, Container, Device, Engine, Release, Service, Site, device_target};

/// The local-API key its containers carry.
pub const API_KEY: &str = "00112233445566778899aabbccddeeff";

/// The release, as the cloud words it for today's agent.
pub fn balena_release(name: &str, main: &str, other: &str) -> Release {
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
pub fn unscoped(engine: &Engine) -> Site<'_> {
    let mut site = Site::on(engine);
    site.device.unset("HOLDFAST_SCOPE");
    site
}

/// Makes everything of a release as balena-supervisor does.
pub struct Balena<'s, 'e> {
    pub site: &'s Site<'e>,
    pub release: &'s Release,
}

impl Balena<'_, '_> {
    fn call(&self, path: &str, body: &Value) -> Value {
        let answer = self.site.engine.call("POST", path, body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// Makes all of it and starts it.
    pub fn install(&self, main: &str, other: &str) {
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
pub fn inventory(site: &Site<'_>) -> Vec<String> {
    let containers = site.engine.containers(&site.app);
    let network = |name: &str| site.engine.call("GET", &format!("/networks/{name}"), &Value::Null).json()["Id"].to_string();
    let volume = site.engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json();
    let container = |c: &Container| format!("{} {} {}", c.id, c.name, c.started_at());
    let mut all: Vec<String> = containers.iter().map(container).collect();
    all.extend([network(&site.app.network("default")), network("supervisor0"), volume["CreatedAt"].to_string()]);
    all
}

/// The schema since M00012, as balena-supervisor's migrations leave it.
const SCHEMA: &str = "
    CREATE TABLE config (key varchar(255), value varchar(255), PRIMARY KEY (key));
    CREATE TABLE deviceConfig (targetValues json);
    CREATE TABLE app (id integer not null primary key autoincrement, name varchar(255), releaseId integer,
      \"commit\" varchar(255), appId integer, services json, networks json, volumes json, source varchar(255),
      uuid varchar(255), class varchar(255) DEFAULT 'fleet', isHost boolean DEFAULT '0', rejected boolean DEFAULT 0);
    CREATE UNIQUE INDEX app_uuid_unique ON app (uuid);
    CREATE TABLE image (id integer not null primary key autoincrement, name varchar(255), appId integer, serviceId integer,
      serviceName varchar(255), imageId integer, releaseId integer, dockerImageId varchar(255), appUuid varchar(255),
      \"commit\" varchar(255));
    CREATE TABLE apiSecret (id integer not null primary key autoincrement, appId integer, key varchar(255), scopes varchar(255),
      serviceName varchar(255));
    CREATE TABLE currentCommit (id integer not null primary key, appId integer not null, \"commit\" varchar(255) not null);
    CREATE TABLE knex_migrations (id integer not null primary key autoincrement, name varchar(255), batch integer,
      migration_time datetime);
    INSERT INTO knex_migrations (name, batch) VALUES ('M00012.js', 1);
    INSERT INTO config VALUES ('name', 'a-device'), ('targetStateSet', 'true');
    INSERT INTO deviceConfig VALUES ('{}');";

/// Writes the database a balena-supervisor has that settled on this release.
pub fn balena_database(device: &Device, cloud: &Cloud, app: &App, release: &Release) -> PathBuf {
    let file = device.path("data/balena-supervisor/database.sqlite");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let database = Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA).unwrap();
    let entry = device_target(&[(app, release)], &[]);
    let (commit, wanted) = entry["apps"][&app.uuid]["releases"].as_object().unwrap().iter().next().unwrap();
    let service = |(name, service): (&String, &Value)| {
        json!({ "appId": app.id, "appUuid": app.uuid, "releaseId": wanted["id"], "commit": commit, "serviceName": name,
            "imageId": service["image_id"], "serviceId": service["id"], "image": service["image"], "running": true,
            "environment": service["environment"], "labels": service["labels"], "composition": service["composition"] })
    };
    let services: Vec<Value> = wanted["services"].as_object().unwrap().iter().map(service).collect();
    let insert = "INSERT INTO app (name, releaseId, \"commit\", appId, services, networks, volumes, source, uuid)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = rusqlite::params![
        app.name,
        wanted["id"].as_i64(),
        commit,
        app.id as i64,
        json!(services).to_string(),
        wanted["networks"].to_string(),
        wanted["volumes"].to_string(),
        cloud.url(),
        app.uuid,
    ];
    database.execute(insert, values).unwrap();
    for service in &services {
        let row = rusqlite::params![service["image"].as_str(), app.id as i64, service["serviceName"].as_str(), app.uuid];
        database.execute("INSERT INTO image (name, appId, serviceName, appUuid) VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    }
    let secret = "INSERT INTO apiSecret (appId, serviceName, key, scopes) VALUES (?1, 'main', ?2, ?3)";
    database
        .execute(secret, rusqlite::params![app.id as i64, API_KEY, format!("[{{\"type\":\"app\",\"appId\":{}}}]", app.id)])
        .unwrap();
    database.execute("INSERT INTO currentCommit VALUES (1, ?1, ?2)", rusqlite::params![app.id as i64, commit]).unwrap();
    file
}

/// Name, content, mode and time of everything in a folder.
pub fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>, u32, i64, i64)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths
        .map(|path| {
            let found = fs::metadata(&path).unwrap();
            (path.clone(), fs::read(&path).unwrap(), found.mode(), found.mtime(), found.mtime_nsec())
        })
        .collect();
    all.sort();
    all
}

/// What the agent's own database answers; no agent may run.
pub fn stored(device: &Device, sql: &str) -> Vec<String> {
    let database = Connection::open(device.path("data/database.sqlite")).unwrap();
    let mut select = database.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
