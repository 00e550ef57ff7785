//! The agent as a container: its data outlives the container, in a named volume and in a folder of the host, and moves from
//! the one to the other. The container is made from the settings of the compose file that is shipped.
// needs: engine

use std::path::Path;

use crate::support::{Container, Engine, Release, Role, Service, Site, agent_image, binary, check, ids, unique, wait_for};
use serde_json::{Value, json};

const COMPOSE: &str = include_str!("../os-overlay/etc/holdfast/compose.yaml");

/// Reads as much YAML as the compose file needs: maps, lists of texts, and lists written as JSON.
fn yaml(text: &str) -> Value {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim_end())
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .map(|line| (line.len() - line.trim_start().len(), line.trim_start()))
        .collect();
    let mut at = 0;
    let value = block(&lines, &mut at, 0);
    assert_eq!(at, lines.len(), "all of it was read");
    value
}

fn block(lines: &[(usize, &str)], at: &mut usize, indent: usize) -> Value {
    if lines[*at].1.starts_with("- ") {
        let mut list = Vec::new();
        while *at < lines.len() && lines[*at].0 == indent {
            list.push(scalar(lines[*at].1.strip_prefix("- ").expect("an item")));
            *at += 1;
        }
        return Value::Array(list);
    }
    let mut map = serde_json::Map::new();
    while *at < lines.len() && lines[*at].0 == indent {
        let (key, value) = lines[*at].1.split_once(':').expect("a key");
        *at += 1;
        let deeper = lines.get(*at).map(|line| line.0).filter(|deeper| *deeper > indent);
        let value = match (value.trim(), deeper) {
            ("", Some(deeper)) => block(lines, at, deeper),
            (value, _) => scalar(value),
        };
        assert!(map.insert(key.to_owned(), value).is_none(), "{key} stands twice");
    }
    Value::Object(map)
}

fn scalar(text: &str) -> Value {
    if text.starts_with('[') { serde_json::from_str(text).expect("a list as JSON") } else { json!(text) }
}

/// `20s` in ns.
fn nanoseconds(value: &Value) -> u64 {
    let seconds: u64 = value.as_str().unwrap().strip_suffix('s').unwrap().parse().unwrap();
    seconds * 1_000_000_000
}

#[test]
fn the_compose_file_says_what_it_should() {
    let compose = yaml(COMPOSE);
    let service = &compose["services"]["holdfast"];
    assert_eq!(service["restart"], "unless-stopped");
    assert_eq!(service["healthcheck"]["test"], json!(["CMD", "/usr/bin/holdfast", "healthy"]));
    assert!(nanoseconds(&service["stop_grace_period"]) > 12_000_000_000, "longer than the agent takes to end");
    let volumes: Vec<&str> = service["volumes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(volumes.contains(&"holdfast-data:/data") && compose["volumes"].get("holdfast-data").is_some());
    let locks = "/tmp/balena-supervisor";
    assert!(volumes.contains(&format!("{locks}:{locks}").as_str()), "applications get it mounted by this path");
}

/// A device whose agent is a container, beside the app it looks after.
struct Agent<'a> {
    site: &'a Site<'a>,
    image: String,
    scope: String,
}

impl Agent<'_> {
    /// The container's settings: those of the compose file with places of this test, and with its data at `data`.
    fn settings(&self, data: &str) -> Value {
        let service = yaml(COMPOSE)["services"]["holdfast"].clone();
        let own = self.site.device.path("");
        let own = own.to_str().unwrap().trim_end_matches('/').to_owned();
        let socket = self.site.engine.socket();
        let bind = |text: &Value| {
            let text = text.as_str().unwrap();
            let (source, rest) = text.split_once(':').unwrap();
            let source = match source {
                "/var/run/docker.sock" => socket.to_str().unwrap(),
                "holdfast-data" => data,
                "/etc/holdfast" => &own,
                // Lock folders and the socket lie in the device's own folder, which is the same on both sides.
                "/tmp/balena-supervisor" | "/run/holdfast" => return format!("{own}:{own}"),
                "/etc/os-release" => source,
                other => panic!("the compose file mounts {other}, of which this test knows nothing"),
            };
            format!("{source}:{rest}")
        };
        let mut binds: Vec<String> = service["volumes"].as_array().unwrap().iter().map(bind).collect();
        binds.dedup();
        let health = &service["healthcheck"];
        json!({
            "Image": self.image,
            "Cmd": service["command"],
            "StopTimeout": nanoseconds(&service["stop_grace_period"]) / 1_000_000_000,
            "Env": [
                format!("HOLDFAST_SOCKET={own}/agent.sock"), format!("HOLDFAST_LOCK_DIR={own}/locks"),
                format!("HOLDFAST_SCOPE={}", self.scope), "RUST_LOG=holdfast=debug,info".to_owned(),
            ],
            "Healthcheck": {
                "Test": health["test"],
                // Sooner than on a device: somebody waits for it.
                "Interval": 1_000_000_000_u64,
                "Timeout": nanoseconds(&health["timeout"]),
                "StartPeriod": nanoseconds(&health["start_period"]),
                "Retries": health["retries"].as_str().unwrap().parse::<u64>().unwrap(),
            },
            "HostConfig": {
                "NetworkMode": service["network_mode"],
                "RestartPolicy": { "Name": service["restart"] },
                "Binds": binds,
            },
        })
    }

    fn create(&self, settings: &Value) -> String {
        let made = self.site.engine.call("POST", "/containers/create", settings).json();
        let id = made["Id"].as_str().unwrap().to_owned();
        self.site.engine.call("POST", &format!("/containers/{id}/start"), &Value::Null);
        id
    }

    /// Starts the agent and waits until it is healthy by its own health check.
    fn start(&self, data: &str) -> String {
        let id = self.create(&self.settings(data));
        wait_for("the container to be healthy", || {
            let state = self.site.engine.call("GET", &format!("/containers/{id}/json"), &Value::Null).json()["State"].clone();
            check(state["Health"]["Status"] == "healthy", format!("{state}\n{}", self.log(&id)))
        });
        id
    }

    fn log(&self, id: &str) -> String {
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1");
        self.site.engine.call("GET", &path, &Value::Null).text()
    }

    /// Stops a container as an update of it does, and removes it.
    fn remove(&self, id: &str) {
        self.site.engine.call("POST", &format!("/containers/{id}/stop"), &Value::Null);
        let state = self.site.engine.call("GET", &format!("/containers/{id}/json"), &Value::Null).json()["State"].clone();
        assert_eq!(state["ExitCode"], 0, "{}", self.log(id));
        self.site.engine.call("DELETE", &format!("/containers/{id}?v=1"), &Value::Null);
    }

    /// Runs the documented command that moves the data; its exit code and what it said.
    fn move_data(&self, from: &str, to: &str) -> (i64, String) {
        let settings = json!({
            "Image": self.image, "Cmd": ["data", "move", "/from", "/to"],
            "HostConfig": { "NetworkMode": "none", "Binds": [format!("{from}:/from"), format!("{to}:/to")] },
        });
        let id = self.create(&settings);
        let ended = self.site.engine.call("POST", &format!("/containers/{id}/wait"), &Value::Null).json();
        let said = self.log(&id);
        self.site.engine.call("DELETE", &format!("/containers/{id}?v=1"), &Value::Null);
        (ended["StatusCode"].as_i64().unwrap(), said)
    }

    /// The agent knows what it knew, and the app's containers were not touched.
    fn knows(&self, release: &Release, before: &[Container]) {
        let target = self.site.device.get("/v3/target").json();
        let stored = &target["target"].to_string();
        assert!(stored.contains(&release.commit), "{stored}");
        wait_for("the agent to be settled", || {
            let status = self.site.device.get("/v3/status").json();
            check(status["phase"]["name"] == "settled" || status["phase"]["phase"] == "settled", &status["phase"])
        });
        let now = self.site.engine.wait_running(&self.site.app, &release.commit, &release.services());
        assert_eq!(ids(&now), ids(before));
        assert!(now.iter().zip(before).all(|(now, before)| now.started_at() == before.started_at()), "nor restarted");
    }
}

/// Removes a container or volume when the test ends, however it ends.
struct Cleared<'e>(&'e Engine, String);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_call("DELETE", &self.1, &[]);
    }
}

#[test]
fn its_data_outlives_the_container_and_moves_both_ways() {
    let Some(engine) = Engine::shared() else { return };
    let mut site = Site::on(&engine);
    let scope = format!("agent-{}", unique());
    site.device.set("HOLDFAST_SCOPE", &scope);
    let release = Release::new("first").service("main", Service::new(&engine.image(Role::Sleeps, "1")));
    site.want(&release);
    site.join();
    let before = site.wait_settled(&release);
    assert!(site.device.stop().0.success());
    // From the container's network the cloud cannot be reached: all it knows is what it kept.
    let folder = site.device.path("data").to_str().unwrap().to_owned();
    let image = agent_image(&engine, Path::new(&binary()), &[]);
    let _image = Cleared(&engine, format!("/images/{image}?force=1"));
    let volume = format!("holdfast-data-{}", unique());
    let _volume = Cleared(&engine, format!("/volumes/{volume}"));
    {
        let agent = Agent { site: &site, image, scope };

        // A folder of the host.
        let first = agent.start(&folder);
        agent.knows(&release, &before);
        let (code, said) = agent.move_data(&folder, &volume);
        assert!(code == 1 && said.contains("agent.lock"), "it is in use: {code} {said}");
        agent.remove(&first);
        let second = agent.start(&folder);
        agent.knows(&release, &before);
        agent.remove(&second);

        // Into a named volume.
        let (code, said) = agent.move_data(&folder, &volume);
        assert!(code == 0 && said.contains("moved"), "{code} {said}");
        assert!(!Path::new(&folder).join("database.sqlite").exists(), "it is in one place");
        let third = agent.start(&volume);
        agent.knows(&release, &before);
        agent.remove(&third);
        let fourth = agent.start(&volume);
        agent.knows(&release, &before);
        agent.remove(&fourth);

        // And back.
        let (code, said) = agent.move_data(&volume, &folder);
        assert!(code == 0, "{code} {said}");
    }
    site.device.start();
    let target = site.device.get("/v3/target").json()["target"].to_string();
    assert!(target.contains(&release.commit), "{target}");
    site.device.check_database();
    assert_eq!(ids(&site.wait_settled(&release)), ids(&before));
}
