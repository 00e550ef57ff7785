//! An embedded cloud: the device API of `protocol.md` as far as an agent calls it, on 127.0.0.1, with knobs to misbehave.
//!
//! It keeps what it was sent, so that a suite or the demo can ask afterwards what really arrived. Its methods do not wait
//! and may be called from anywhere.

mod behaviour;
mod devices;
mod known;
mod logs;
mod record;
mod routes;
mod tags;

pub use behaviour::{Behaviour, Endpoint, Failure};
pub use devices::ListedDevice;
pub use record::{Report, Seen};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::listener::{Handler, Listener};
use devices::Devices;
use known::Known;
use record::Recent;

/// When in the course of a request something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has arrived, and nothing was done about it.
    Arrived,
    /// It was carried out, and is not answered yet.
    Decided,
}

/// Looks on at requests; they wait for it.
pub type Onlooker = Arc<dyn Fn(Endpoint, Moment) + Send + Sync>;

/// The running cloud; dropping it ends it.
#[derive(Debug)]
pub struct EmbeddedCloud {
    listener: Listener,
    shared: Arc<Shared>,
}

/// What requests work on.
#[derive(Debug)]
struct Shared {
    uuid: String,
    key: String,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    target: Value,
    known: Known,
    behaviour: Behaviour,
    requests: Recent<Seen>,
    reports: Recent<Report>,
    device: Map<String, Value>,
    devices: Devices,
    onlooker: Option<Onlooker>,
    log_lines: Recent<Value>,
    tags: Map<String, Value>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("target", &self.target).field("behaviour", &self.behaviour).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EmbeddedCloud {
    /// Starts a cloud that knows one device, with an empty target, on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(uuid: &str, key: &str) -> std::io::Result<EmbeddedCloud> {
        EmbeddedCloud::start_on(0, uuid, key)
    }

    /// The same on a port of the caller's choice: a cloud that was away and comes back.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_on(port: u16, uuid: &str, key: &str) -> std::io::Result<EmbeddedCloud> {
        let target = json!({ uuid: { "name": "sandbox", "config": {}, "apps": {} } });
        let state = State {
            target,
            known: Known::default(),
            behaviour: Behaviour::default(),
            requests: Recent::default(),
            reports: Recent::default(),
            device: Map::new(),
            devices: Devices::default(),
            onlooker: None,
            log_lines: Recent::default(),
            tags: Map::new(),
        };
        let shared = Arc::new(Shared { uuid: uuid.into(), key: key.into(), started: Instant::now(), state: Mutex::new(state) });
        let served = shared.clone();
        let handler: Handler = Arc::new(move |request| Box::pin(routes::answer(served.clone(), request)));
        Ok(EmbeddedCloud { listener: Listener::start("embedded-cloud", port, handler)?, shared })
    }

    /// What config.json calls `apiEndpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.listener.address().port()
    }

    /// Sets the target: the whole body, with the device's uuid as its key. Its releases and images may be reported from now on.
    pub fn set_target(&self, target: Value) {
        let mut state = self.shared.state();
        state.known.learn(&target);
        state.target = target;
    }

    /// Lets devices register with this key from now on; each listed device gets `entry` as its part of the target.
    pub fn accept_devices(&self, provisioning_key: &str, entry: Value) {
        let mut state = self.shared.state();
        state.known.learn(&json!({ "each": entry }));
        state.devices.provisioning_key = Some(provisioning_key.to_owned());
        state.devices.entry = entry;
    }

    /// Has a release that a device may be pinned to; its id.
    pub fn have_release(&self, app: u64, commit: &str) -> u64 {
        let releases = &mut self.shared.state().devices.releases;
        releases.push((app, commit.to_owned()));
        releases.len() as u64 - 1
    }

    /// Puts a device on the list that was registered before.
    pub fn list_device(&self, device: ListedDevice) {
        self.shared.state().devices.listed.push(device);
    }

    /// Every device on the list, besides the one the cloud was started with.
    pub fn devices(&self) -> Vec<ListedDevice> {
        self.shared.state().devices.listed.clone()
    }

    /// Has somebody look on at every request from now on.
    pub fn look_on(&self, onlooker: Option<Onlooker>) {
        self.shared.state().onlooker = onlooker;
    }

    /// Makes it behave in another way from the next request on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.state().behaviour = behaviour;
    }

    /// Every report so far, refused ones too.
    pub fn reports(&self) -> Vec<Report> {
        self.shared.state().reports.all()
    }

    /// The device as the accepted reports describe it, merged field by field.
    pub fn device(&self) -> Value {
        Value::Object(self.shared.state().device.clone())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.state().requests.all()
    }

    /// Every line of every log stream so far.
    pub fn log_lines(&self) -> Vec<Value> {
        self.shared.state().log_lines.all()
    }

    /// Waits (blocking) until the check holds; false when the time is over first.
    pub fn wait_until(&self, limit: Duration, mut check: impl FnMut(&EmbeddedCloud) -> bool) -> bool {
        let started = Instant::now();
        loop {
            if check(self) {
                return true;
            }
            if started.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests;
