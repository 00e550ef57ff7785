//! A device: a folder with everything the agent is told, and the built binary running in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{self, Response};
use super::{App, Cloud, Engine, Way, check, free_port, unique, unique_uuid, wait_for};

/// The key all test devices have: clouds of different tests do not know each other.
const KEY: &str = "0123456789abcdef0123456789abcdef";
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// What a process that ended left.
    pub fn of(output: &Output) -> Answer {
        Answer {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(1)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The binary under test: the one cargo built, unless another is named (the one for devices, say).
pub fn binary() -> OsString {
    std::env::var_os("HOLDFAST_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_holdfast").into())
}

/// A process's proportional share of memory as the kernel adds it up, MiB.
pub fn pss_mib(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the kernel adds up");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("Pss is among it");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
}

/// What is a process's own of its memory, MiB. Its share of the program file changes as others that run the same come and go.
pub fn own_mib(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the kernel adds up");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("what is its own is among it");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
}

/// A device. Dropping it kills its agent and, when the test failed, prints the agent's log.
pub struct Device {
    pub uuid: String,
    dir: tempfile::TempDir,
    /// Where the socket is, if not in `dir`; removed with the device.
    _run: Option<tempfile::TempDir>,
    environment: BTreeMap<&'static str, OsString>,
    /// What is run: the binary, with what runs it before it where this processor cannot.
    program: Vec<OsString>,
    /// What the agent is started through, for example as another user.
    through: Vec<&'static str>,
    /// The verb that starts it.
    verb: &'static str,
    agent: Option<Child>,
}

impl Device {
    /// A device on the built-in simulated engine.
    pub fn simulated() -> Device {
        Device::with_engine("sim:".into())
    }

    /// A device on the private engine, apart from all others by its label scope.
    pub fn on(engine: &Engine) -> Device {
        Device::with_engine(format!("unix://{}", engine.socket().display()).into())
    }

    fn with_engine(engine: OsString) -> Device {
        let dir = tempfile::Builder::new().prefix("holdfast-").tempdir().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name).into_os_string();
        std::fs::create_dir(dir.path().join("locks")).expect("a lock folder");
        let environment = BTreeMap::from([
            ("HOLDFAST_CONFIG", path("config.json")),
            ("HOLDFAST_DATA_DIR", path("data")),
            ("HOLDFAST_SOCKET", path("agent.sock")),
            ("HOLDFAST_LOCK_DIR", path("locks")),
            ("HOLDFAST_SCOPE", format!("test-{}", unique()).into()),
            ("HOLDFAST_POLL_INTERVAL", "1000".into()),
            ("HOLDFAST_POLL_JITTER", "0".into()),
            ("HOLDFAST_REPORT_INTERVAL", "200".into()),
            ("DOCKER_HOST", engine),
            ("RUST_LOG", "holdfast=debug,info".into()),
            ("RUST_BACKTRACE", "1".into()),
        ]);
        let (uuid, program) = (unique_uuid(), vec![binary()]);
        Device { uuid, dir, _run: None, environment, program, through: Vec::new(), verb: "run", agent: None }
    }

    /// Another program than the one under test, with what runs it.
    pub fn running(mut self, program: Vec<OsString>) -> Device {
        self.program = program;
        self
    }

    /// Writes config.json for a cloud and starts the agent.
    pub fn join(&mut self, cloud: &Cloud) {
        self.write_config(&json!({
            "apiEndpoint": cloud.url(), "uuid": self.uuid, "deviceApiKey": KEY, "deviceType": "generic-amd64",
            "deviceId": 1, "applicationId": 1,
        }));
        self.start();
    }

    /// The same with the local API at a port of its own wherever containers need it; returns the way there from the machine.
    pub fn join_with_port(&mut self, cloud: &Cloud) -> Way {
        self.join_with_port_of(cloud, free_port())
    }

    /// The same with a port that was chosen.
    pub fn join_with_port_of(&mut self, cloud: &Cloud, port: u16) -> Way {
        self.write_config(&json!({
            "apiEndpoint": cloud.url(), "uuid": self.uuid, "deviceApiKey": KEY, "deviceType": "generic-amd64",
            "deviceId": 1, "applicationId": 1, "listenPort": port,
        }));
        self.start();
        Way::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into())
    }

    /// The way to its unix socket.
    pub fn way(&self) -> Way {
        Way::Socket(self.path("agent.sock"))
    }

    /// A key of the local API: a service's, or the global one.
    pub fn api_key(&self, service: Option<&str>) -> String {
        wait_for("the key", || {
            let list = self.get("/v3/keys?show=1").json();
            let rows = list["keys"].as_array().cloned().unwrap_or_default();
            let row = rows.iter().find(|row| row["service"].as_str() == service && row["taken"] == true);
            row.and_then(|row| row["key"].as_str().map(str::to_owned)).ok_or_else(|| list.to_string())
        })
    }

    /// The key the cloud has to expect of this device.
    pub fn key(&self) -> &'static str {
        KEY
    }

    pub fn write_config(&self, config: &Value) {
        std::fs::write(self.path("config.json"), config.to_string()).expect("config.json is written");
    }

    /// Sets a variable of the agent's environment for its next start.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.insert(name, value.into());
    }

    /// Leaves a variable to the agent's default.
    pub fn unset(&mut self, name: &'static str) {
        self.environment.remove(name);
    }

    /// Changes the agent to another build of it.
    pub fn change_agent(&mut self, binary: impl Into<OsString>) {
        self.program = vec![binary.into()];
    }

    /// Puts the socket, and what lies beside it, where a device has it: on a file system in memory.
    #[allow(dead_code, reason = "a benchmark measures what is written elsewhere")]
    pub fn keep_run_files_in_memory(&mut self) {
        let run = tempfile::Builder::new().prefix("holdfast-").tempdir_in("/dev/shm").expect("a folder in memory");
        self.environment.insert("HOLDFAST_SOCKET", run.path().join("agent.sock").into_os_string());
        self._run = Some(run);
    }

    /// Where the local API is.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(&self.environment["HOLDFAST_SOCKET"])
    }

    /// Starts the agent through another command from now on.
    pub fn start_through(&mut self, command: &[&'static str]) {
        self.through = command.to_vec();
    }

    /// Has the agent started by the launcher from now on.
    pub fn launch(&mut self) {
        self.verb = "launch";
    }

    /// Whether the agent was started and not found to have ended.
    pub fn runs(&self) -> bool {
        self.agent.is_some()
    }

    /// How the agent ended, if it did since somebody asked last.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.agent.as_mut()?.try_wait().ok().flatten();
        if status.is_some() {
            self.agent = None;
        }
        status
    }

    /// A path in the device's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a service's lock files lie.
    pub fn lock_dir(&self, app: &App, service: &str) -> PathBuf {
        self.path("locks").join(app.id.to_string()).join(service)
    }

    /// Starts the agent and waits for its API.
    pub fn start(&mut self) {
        self.spawn();
        wait_for("the agent to answer /ping", || {
            if let Some(status) = self.agent.as_mut().and_then(|a| a.try_wait().ok().flatten()) {
                panic!("the agent ended at start: {status}");
            }
            let answer = self.try_get("/ping").map_err(|e| e.to_string())?;
            check(answer.status == 200, answer.text())
        });
    }

    /// Starts the agent and waits for nothing.
    pub fn spawn(&mut self) {
        assert!(self.agent.is_none(), "an agent runs already");
        let log = File::options().create(true).append(true).open(self.path("agent.log")).expect("a log file");
        // The agent must not outlive a test process that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.through).args(&self.program).arg(self.verb);
        self.equip(&mut command);
        let stderr = log.try_clone().expect("a second handle of the log");
        self.agent = Some(command.stdin(Stdio::null()).stdout(log).stderr(stderr).spawn().expect("the agent starts"));
    }

    /// Gives a command the device's environment.
    pub fn equip(&self, command: &mut Command) {
        command.env_clear();
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(&self.environment);
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.agent.as_ref().expect("the agent runs").id()
    }

    /// Kills the agent as a power cut would.
    pub fn kill(&mut self) {
        let mut agent = self.agent.take().expect("the agent runs");
        agent.kill().expect("it can be killed");
        agent.wait().expect("it is gone");
    }

    /// The same when it may have ended already.
    pub fn kill_if_running(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// Asks the agent to end and returns how it ended and how long that took.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let mut agent = self.agent.take().expect("the agent runs");
        let pid = rustix::process::Pid::from_child(&agent);
        let begin = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be signalled");
        let status = wait_for("the agent to end", || agent.try_wait().ok().flatten().ok_or_else(|| "it runs".to_owned()));
        (status, begin.elapsed())
    }

    /// What the agent logged so far.
    pub fn log(&self) -> String {
        std::fs::read(self.path("agent.log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Calls the local API.
    pub fn get(&self, path: &str) -> Response {
        self.try_get(path).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    pub fn try_get(&self, path: &str) -> std::io::Result<Response> {
        http::request(&self.socket(), "GET", path, &[], &[], CALL_LIMIT)
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http::request(&self.socket(), "POST", path, &headers, body.as_bytes(), CALL_LIMIT);
        answer.unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }

    /// Sends a JSON body that changes a part.
    pub fn patch(&self, path: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json")];
        let body = body.to_string();
        let answer = http::request(&self.socket(), "PATCH", path, &headers, body.as_bytes(), CALL_LIMIT);
        answer.unwrap_or_else(|e| panic!("PATCH {path}: {e}"))
    }

    /// The whole status as text without spaces between fields: what a person can find in it is found by searching.
    pub fn status(&self) -> String {
        self.get("/v3/status").json().to_string()
    }

    /// Waits until the status mentions all of these.
    pub fn wait_status(&self, words: &[&str]) -> String {
        wait_for(&format!("the status to mention {words:?}"), || {
            let status = self.status();
            if words.iter().all(|word| status.contains(word)) { Ok(status) } else { Err(status) }
        })
    }

    /// A command of the binary with this device's environment, to be run.
    pub fn prepared(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        self.equip(&mut command);
        command.args(&self.program[1..]).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary against this agent.
    pub fn command(&self, arguments: &[&str]) -> Answer {
        Answer::of(&self.prepared(arguments).output().expect("the command starts"))
    }

    /// Names of the running services by what the local API says, sorted; works for every engine.
    pub fn running_services(&self) -> Vec<String> {
        let state = self.get("/v2/state/status").json();
        let containers = state["containers"].as_array().cloned().unwrap_or_default();
        let running = containers.iter().filter(|c| c["status"] == "Running");
        let mut names: Vec<String> = running.filter_map(|c| c["serviceName"].as_str().map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// Size and modification time of every file in the data directory.
    pub fn data_files(&self) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
        files_below(&self.path("data"))
    }

    /// Bytes the agent caused to be written to storage, by the kernel's count.
    pub fn bytes_written(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid())).expect("the kernel counts");
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("write_bytes is among it");
        line.trim().parse().expect("a number")
    }

    /// What SQLite itself says of the database as it lies there, of a copy: opening it would tidy up what the agent left.
    pub fn check_database(&self) {
        let copy = tempfile::tempdir().expect("a temporary folder");
        for name in ["database.sqlite", "database.sqlite-wal"] {
            let from = self.path("data").join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).expect("it can be copied");
            }
        }
        let database = rusqlite::Connection::open(copy.path().join("database.sqlite")).expect("the database opens");
        let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
        assert_eq!(verdict, "ok");
    }
}

fn files_below(dir: &Path) -> BTreeMap<PathBuf, (u64, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.insert(entry.path(), (metadata.len(), metadata.modified().expect("Linux keeps times")));
        }
    }
    files
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill_if_running();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- end of the log of device {}", self.uuid);
            lines[lines.len().saturating_sub(80)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
