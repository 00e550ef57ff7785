//! A device whose agent is started by the launcher, and what a service manager does for it: starts it again when it ends,
//! kills it when it does not become ready.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Answer, Device, PATIENCE, check};

/// A start that does not become ready within this is killed. A service manager is more patient.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The service manager of one device.
pub struct Supervised {
    notify: UnixDatagram,
    ready_limit: Duration,
    since: Instant,
    ready: bool,
    /// It ended with a code after which the unit has it not started again.
    given_up: bool,
    /// How each start ended that did, in words.
    pub ends: Vec<String>,
}

impl Supervised {
    /// Takes a device over whose agent was not started yet.
    pub fn new(device: &mut Device) -> Supervised {
        let path = device.path("notify");
        let notify = UnixDatagram::bind(&path).expect("a socket in the device's folder");
        notify.set_nonblocking(true).expect("it need not block");
        device.set("NOTIFY_SOCKET", path.to_str().expect("a plain path"));
        device.launch();
        Supervised { notify, ready_limit: READY_LIMIT, since: Instant::now(), ready: false, given_up: false, ends: Vec::new() }
    }

    /// Another limit for a start.
    pub fn ready_within(&mut self, limit: Duration) {
        self.ready_limit = limit;
    }

    /// Looks after the agent until something holds.
    pub fn until<T>(&mut self, device: &mut Device, what: &str, look: impl FnMut(&Device) -> Result<T, String>) -> T {
        self.until_within(2 * PATIENCE, device, what, look)
    }

    /// The same with a limit of the caller's.
    pub fn until_within<T>(
        &mut self,
        limit: Duration,
        device: &mut Device,
        what: &str,
        mut look: impl FnMut(&Device) -> Result<T, String>,
    ) -> T {
        let end = Instant::now() + limit;
        loop {
            self.tend(device);
            match look(device) {
                Ok(found) => return found,
                Err(instead) if Instant::now() >= end => {
                    panic!("waited {limit:?} for {what}; ends {:?}; instead: {instead}", self.ends)
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Runs a command of the binary against the agent, which may end and has to be started again meanwhile.
    pub fn command(&mut self, device: &mut Device, arguments: &[&str]) -> Answer {
        let mut command = device.prepared(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let output = std::thread::spawn(move || child.wait_with_output());
        self.until(device, "the command to end", |_| check(output.is_finished(), "it runs"));
        Answer::of(&output.join().expect("no panic").expect("it can be waited for"))
    }

    fn tend(&mut self, device: &mut Device) {
        let mut word = [0; 1024];
        while let Ok(length) = self.notify.recv(&mut word) {
            self.ready |= word[..length].starts_with(b"READY=1");
        }
        if let Some(status) = device.ended() {
            self.ends.push(status.to_string());
            self.given_up = status.code().is_some_and(gives_up);
        }
        if !device.runs() {
            if self.given_up {
                return;
            }
            (self.since, self.ready) = (Instant::now(), false);
            device.spawn();
        } else if !self.ready && self.since.elapsed() > self.ready_limit {
            device.kill();
            self.ends.push("killed by the watchdog".to_owned());
        }
    }
}

/// Whether the unit for devices has nobody start what ended with this code.
fn gives_up(code: i32) -> bool {
    let unit = include_str!("../../systemd/holdfast.service");
    let codes = unit.lines().filter_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    codes.flat_map(str::split_whitespace).any(|given| given == code.to_string())
}

/// The agent's record of its slots.
pub fn slots(device: &Device) -> Result<Value, String> {
    let answer = device.try_get("/v3/agent").map_err(|error| error.to_string())?;
    serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
}
