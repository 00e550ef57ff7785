//! An embedded cloud: the device API of `protocol.md` as far as an agent calls it, on 127.0.0.1, with knobs to misbehave.
//!
//! It keeps what it was sent, so that a suite or the demo can ask afterwards what really arrived. Its methods do not wait
//! and may be called from anywhere.

mod behaviour;
mod known;
mod logs;
mod record;
mod routes;

pub use behaviour::{Behaviour, Endpoint, Failure};
pub use record::{Report, Seen};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::listener::{Handler, Listener};
use known::Known;
use record::Recent;

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

#[derive(Debug)]
struct State {
    target: Value,
    known: Known,
    behaviour: Behaviour,
    requests: Recent<Seen>,
    reports: Recent<Report>,
    device: Map<String, Value>,
    log_lines: Recent<Value>,
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
            log_lines: Recent::default(),
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
