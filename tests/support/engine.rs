//! The private engine of `tests/run`, asked directly: what the agent claims is not believed.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::http::{self, Response};
use super::{check, wait_for};

/// API version spoken here: the oldest one the agent supports.
const API: &str = "/v1.41";
/// No single call of the engine may take longer.
const CALL_LIMIT: Duration = Duration::from_secs(120);

/// A dockerd with a registry beside it, both in a network namespace of their own.
pub struct Engine {
    dir: PathBuf,
    own: bool,
}

impl Engine {
    /// The engine all tests share, if `tests/run` started one.
    pub fn shared() -> Option<Engine> {
        let Some(dir) = std::env::var_os("HOLDFAST_TEST_ENGINE") else {
            eprintln!("skipped: needs the private engine, which tests/run starts");
            return None;
        };
        Some(Engine { dir: dir.into(), own: false })
    }

    /// An engine of this test's own that may be stopped and killed; gone when dropped.
    pub fn own() -> Option<Engine> {
        Engine::shared()?;
        let output = harness("engine_start >&2 && echo \"$ENGINE_DIR\"", Path::new(""));
        Some(Engine { dir: output.trim().into(), own: true })
    }

    /// The same with a disk of this size for everything it keeps.
    pub fn on_a_disk_of(mib: u32) -> Option<Engine> {
        Engine::shared()?;
        let output = harness(&format!("ENGINE_DISK_MIB={mib}; engine_start >&2 && echo \"$ENGINE_DIR\""), Path::new(""));
        Some(Engine { dir: output.trim().into(), own: true })
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// Its network namespace.
    pub fn network_namespace(&self) -> PathBuf {
        let name = self.dir.extension().expect("the harness names folders so").to_string_lossy().into_owned();
        Path::new("/run/netns").join(format!("hf-{name}"))
    }

    /// Moves this test's thread, and whatever it starts from now on, into the engine's network: there an agent can ask the
    /// registry itself.
    pub fn enter_network(&self) {
        let namespace = std::fs::File::open(self.network_namespace()).expect("the namespace has a name");
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("root may enter");
    }

    /// Stops the daemon as a service manager does; its containers are stopped with it.
    pub fn stop_daemon(&self) {
        assert!(self.own, "the shared engine is not to be stopped");
        harness("engine_end_process \"$(cat \"$ENGINE_DIR/dockerd.child\")\" \"$ENGINE_DIR\"", &self.dir);
    }

    /// Starts it again.
    pub fn start_daemon(&self) {
        harness("rm -f \"$ENGINE_DIR/docker.pid\"; engine_launch_dockerd", &self.dir);
        wait_for("the engine to answer", || {
            let answer = self.try_call("GET", "/_ping", &[]).map_err(|e| e.to_string())?;
            check(answer.status == 200, answer.text())
        });
    }

    /// Calls the engine's API; anything but success fails the test.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.try_call(method, path, &body).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        assert!(answer.status < 400, "{method} {path}: {} {}", answer.status, answer.text());
        answer
    }

    /// Calls the engine's API and returns whatever comes.
    pub fn try_call(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Response> {
        let kind = if body.first() == Some(&b'{') { "application/json" } else { "application/x-tar" };
        // An empty credential: the private registry wants none, the engine insists on the header.
        let headers = [("Content-Type", kind), ("X-Registry-Auth", "e30=")];
        http::request(&self.socket(), method, &format!("{API}{path}"), &headers, body, CALL_LIMIT)
    }

    /// Names of all volumes that begin with a prefix.
    pub fn volumes(&self, prefix: &str) -> Vec<String> {
        self.names("/volumes", "/Volumes", prefix)
    }

    /// Names of all networks that begin with a prefix.
    pub fn networks(&self, prefix: &str) -> Vec<String> {
        self.names("/networks", "", prefix)
    }

    fn names(&self, path: &str, pointer: &str, prefix: &str) -> Vec<String> {
        let list = self.call("GET", path, &Value::Null).json();
        let names = list.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut names: Vec<String> =
            names.iter().filter_map(|v| v["Name"].as_str()).filter(|name| name.starts_with(prefix)).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// What happened between two times (s since 1970) to objects whose event mentions one of these words, without what
    /// only looks: `exec`, health checks.
    pub fn events_between(&self, from: f64, to: f64, words: &[&str]) -> Vec<String> {
        let events = self.call("GET", &format!("/events?since={from:.6}&until={to:.6}"), &Value::Null).text();
        let only_looks =
            |event: &Value| event["Action"].as_str().is_some_and(|a| a.starts_with("exec_") || a.starts_with("health_"));
        events
            .lines()
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| !only_looks(event))
            .map(|event| format!("{} {} {}", event["Type"], event["Action"], event["Actor"]["Attributes"]))
            .collect()
    }

    /// Runs a command in the engine's network, where published ports can be reached.
    pub fn run_in_network(&self, command: &[&str]) -> (bool, String) {
        run_in(&self.network_namespace(), command)
    }

    /// Fetches a page from a published port.
    pub fn fetch_published(&self, port: u64) -> Result<String, String> {
        fetch_in(&self.network_namespace(), "127.0.0.1", port)
    }
}

fn run_in(namespace: &Path, command: &[&str]) -> (bool, String) {
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--net={}", namespace.display())).args(command).stdin(Stdio::null());
    let output = nsenter.output().expect("nsenter is there");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fetches a page as seen from a network namespace.
pub(super) fn fetch_in(namespace: &Path, address: &str, port: u64) -> Result<String, String> {
    // Not with the static busybox: its name resolution crashes outside the system it was built for.
    let script = format!(r"exec 3<>/dev/tcp/{address}/{port}; printf 'GET / HTTP/1.0\r\n\r\n' >&3; timeout 3 cat <&3");
    let (ok, answer) = run_in(namespace, &["timeout", "5", "bash", "-c", &script]);
    let page = answer.split_once("\r\n\r\n").map(|(_, page)| page.to_owned());
    page.filter(|_| ok).ok_or_else(|| format!("{address}:{port} does not answer: {answer}"))
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.own {
            harness("engine_stop \"$ENGINE_DIR\" >&2", &self.dir);
        }
    }
}

/// Seconds since 1970, as the engine's event filter wants them.
pub fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

/// Runs functions of `tests/harness` for an engine folder; they belong to this process, not to the shell that runs them.
fn harness(script: &str, dir: &Path) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/harness");
    let script = format!(
        "set -eu; say() {{ echo \"$*\" >&2; }}; . '{0}/engine.sh'; ENGINE_SOCKET=$ENGINE_DIR/docker.sock; ENGINE_NETNS=hf-${{ENGINE_DIR##*.}}; {script}",
        folder.display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("ENGINE_DIR", dir)
        .env("ENGINE_OWNER", std::process::id().to_string())
        .stdin(Stdio::null())
        .output()
        .expect("bash is there");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
