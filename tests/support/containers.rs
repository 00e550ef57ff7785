//! Containers as the engine shows them.

use serde_json::{Value, json};

use super::engine::fetch_in;
use super::http::encode;
use super::{App, Engine, check, wait_for};

/// A container of an app.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub service: String,
    pub running: bool,
    /// Everything the engine says of it.
    pub inspect: Value,
}

impl Container {
    /// When it was started, in the engine's notation (sorts as text within a day).
    pub fn started_at(&self) -> &str {
        self.inspect["State"]["StartedAt"].as_str().unwrap_or_default()
    }

    /// Fetches a page as the container sees the network.
    pub fn fetch(&self, address: &str, port: u64) -> Result<String, String> {
        let namespace = format!("/proc/{}/ns/net", self.inspect["State"]["Pid"]);
        fetch_in(namespace.as_ref(), address, port)
    }

    /// Value of a variable it was made with.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let list = self.inspect["Config"]["Env"].as_array()?;
        list.iter().filter_map(Value::as_str).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.inspect["Config"]["Labels"][name].as_str()
    }
}

/// Their ids, in the same order.
pub fn ids(containers: &[Container]) -> Vec<&str> {
    containers.iter().map(|c| c.id.as_str()).collect()
}

impl Engine {
    /// All containers of an app, running or not, by service name.
    pub fn containers(&self, app: &App) -> Vec<Container> {
        let filter = json!({ "label": [format!("io.balena.app-id={}", app.id)] }).to_string();
        let list = self.call("GET", &format!("/containers/json?all=1&filters={}", encode(&filter)), &Value::Null).json();
        let mut containers: Vec<Container> =
            list.as_array().expect("a list").iter().filter_map(|c| self.container(c["Id"].as_str()?)).collect();
        containers.sort_by(|a, b| a.service.cmp(&b.service));
        containers
    }

    fn container(&self, id: &str) -> Option<Container> {
        // It may go between the list and the look.
        let answer = self.try_call("GET", &format!("/containers/{id}/json"), &[]).ok().filter(|a| a.status == 200)?;
        let inspect = answer.json();
        Some(Container {
            id: id.to_owned(),
            name: inspect["Name"].as_str()?.trim_start_matches('/').to_owned(),
            service: inspect["Config"]["Labels"]["io.balena.service-name"].as_str()?.to_owned(),
            running: inspect["State"]["Running"] == true,
            inspect,
        })
    }

    /// The one container of a service.
    pub fn service(&self, app: &App, service: &str) -> Container {
        let mut of_service: Vec<Container> = self.containers(app).into_iter().filter(|c| c.service == service).collect();
        assert_eq!(of_service.len(), 1, "containers of {service}: {of_service:?}");
        of_service.remove(0)
    }

    /// Waits until exactly these services run, each in one container whose name carries this commit.
    pub fn wait_running(&self, app: &App, commit: &str, services: &[&str]) -> Vec<Container> {
        wait_for(&format!("{services:?} of {commit} to run"), || {
            let there = self.containers(app);
            let running: Vec<&str> = there
                .iter()
                .filter(|c| c.running && c.name.ends_with(&format!("_{commit}")))
                .map(|c| c.service.as_str())
                .collect();
            let shown: Vec<String> = there.iter().map(|c| format!("{} running={}", c.name, c.running)).collect();
            check(running == services && there.len() == services.len(), format!("{shown:?}"))?;
            Ok(there)
        })
    }

    /// Runs a command in a container; its exit code and output.
    pub fn exec(&self, id: &str, command: &[&str]) -> (i64, String) {
        let made = self.call(
            "POST",
            &format!("/containers/{id}/exec"),
            &json!({ "Cmd": command, "AttachStdout": true, "AttachStderr": true }),
        );
        let exec = made.json()["Id"].as_str().expect("an id").to_owned();
        let output = self.call("POST", &format!("/exec/{exec}/start"), &json!({ "Detach": false, "Tty": false }));
        let code = wait_for("the command's exit code", || {
            let state = self.call("GET", &format!("/exec/{exec}/json"), &Value::Null).json();
            state["ExitCode"].as_i64().filter(|_| state["Running"] == false).ok_or_else(|| state.to_string())
        });
        (code, demultiplex(&output.body))
    }

    /// The same, and it has to succeed.
    pub fn exec_ok(&self, id: &str, command: &[&str]) -> String {
        let (code, output) = self.exec(id, command);
        assert_eq!(code, 0, "{command:?}: {output}");
        output
    }

    /// Removes a container behind the agent's back.
    pub fn remove_container(&self, id: &str) {
        self.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null);
    }
}

/// Output without a terminal comes in frames: one byte for the stream, three of nothing, four of length.
fn demultiplex(mut frames: &[u8]) -> String {
    let mut text = Vec::new();
    while let Some((head, rest)) = frames.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let content = &rest[..length.min(rest.len())];
        text.extend_from_slice(content);
        frames = &rest[content.len()..];
    }
    String::from_utf8_lossy(&text).into_owned()
}
