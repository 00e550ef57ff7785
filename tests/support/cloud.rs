//! The agent's own embedded cloud, which keeps what it was sent and fails on request.

use std::cell::RefCell;
use std::time::Duration;

use holdfast::sandbox::cloud::{Behaviour, EmbeddedCloud, Failure, Report, Seen};
use serde_json::{Map, Value, json};

use super::{App, Device, Release, check, device_target, wait_for};

/// A cloud with one device.
pub struct Cloud {
    uuid: String,
    key: &'static str,
    port: u16,
    /// `None` while nobody listens.
    running: RefCell<Option<EmbeddedCloud>>,
    /// All targets so far: a cloud that comes back knows its releases.
    targets: RefCell<Vec<Value>>,
    /// What arrived before it went away.
    earlier: RefCell<(Vec<Seen>, Vec<Report>)>,
}

impl Cloud {
    /// Starts the cloud of a device, with an empty target.
    pub fn of(device: &Device) -> Cloud {
        let (uuid, key) = (device.uuid.clone(), device.key());
        let cloud = EmbeddedCloud::start(&uuid, key).expect("the embedded cloud starts");
        let port = cloud.port();
        Cloud { uuid, key, port, running: RefCell::new(Some(cloud)), targets: RefCell::default(), earlier: RefCell::default() }
    }

    /// Where it listens, without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `apiEndpoint` for config.json.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The device should have this entry (see `device_target`).
    pub fn set_target(&self, entry: Value) {
        self.set_whole_target(json!({ self.uuid.clone(): entry }));
    }

    /// The body of the target, whatever it is.
    pub fn set_whole_target(&self, target: Value) {
        self.targets.borrow_mut().push(target.clone());
        if let Some(cloud) = &*self.running.borrow() {
            cloud.set_target(target);
        }
    }

    /// The device should run these releases.
    pub fn want(&self, apps: &[(&App, &Release)]) {
        self.set_target(device_target(apps, &[]));
    }

    /// Every request fails like this from now on.
    pub fn fail(&self, failure: Failure) {
        self.behave(Behaviour::failing(failure));
    }

    /// Every answer takes this much longer from now on.
    pub fn delay(&self, delay: Duration) {
        self.behave(Behaviour { delay, ..Behaviour::default() });
    }

    fn behave(&self, behaviour: Behaviour) {
        self.running.borrow().as_ref().expect("the cloud runs").set_behaviour(behaviour);
    }

    /// Goes away: connections are refused.
    pub fn go_away(&self) {
        let (requests, reports) = (self.requests(), self.all_reports());
        self.earlier.replace((requests, reports));
        self.running.replace(None);
    }

    /// Comes back, and behaves.
    pub fn heal(&self) {
        if self.running.borrow().is_some() {
            return self.behave(Behaviour::default());
        }
        let cloud = wait_for("the cloud's port to be free", || {
            EmbeddedCloud::start_on(self.port, &self.uuid, self.key).map_err(|e| e.to_string())
        });
        self.targets.borrow().iter().for_each(|target| cloud.set_target(target.clone()));
        self.running.replace(Some(cloud));
    }

    fn requests(&self) -> Vec<Seen> {
        let mut all = self.earlier.borrow().0.clone();
        all.extend(self.running.borrow().iter().flat_map(EmbeddedCloud::requests));
        all
    }

    fn all_reports(&self) -> Vec<Report> {
        let mut all = self.earlier.borrow().1.clone();
        all.extend(self.running.borrow().iter().flat_map(EmbeddedCloud::reports));
        all
    }

    /// Polls for the target so far.
    pub fn polls(&self) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.method == "GET" && seen.path.ends_with("/state")).collect()
    }

    /// Reports that were accepted so far, as sent for this device. One that the cloud refused for its content is a fault
    /// of the agent's.
    pub fn reports(&self) -> Vec<Value> {
        let reports = self.all_reports();
        let refused: Vec<&Report> = reports.iter().filter(|report| report.refusal.is_some()).collect();
        assert!(refused.is_empty(), "the cloud refused reports: {refused:?}");
        reports.iter().filter(|report| report.status < 300).map(|report| report.body[&self.uuid].clone()).collect()
    }

    /// The lines of the log stream that arrived since it came back last.
    pub fn log_lines(&self) -> Vec<Value> {
        self.running.borrow().as_ref().map(EmbeddedCloud::log_lines).unwrap_or_default()
    }

    /// What the cloud knows by now: each report overwrites the fields it has.
    pub fn reported(&self) -> Value {
        let mut known = Map::new();
        for report in self.reports() {
            known.extend(report.as_object().cloned().unwrap_or_default());
        }
        Value::Object(known)
    }

    /// Waits until the device reports that it runs a release entirely, each service `Running`.
    pub fn wait_settled(&self, app: &App, release: &Release) {
        wait_for(&format!("the report that release {} runs", release.commit), || {
            let known = &self.reported()["apps"][&app.uuid];
            let of_release = &known["releases"][&release.commit];
            let all_run = release.services().iter().all(|name| of_release["services"][name]["status"] == "Running");
            let done = known["release_uuid"] == release.commit.as_str() && of_release["update_status"] == "done";
            check(done && all_run, known)
        });
    }

    /// Waits until so many more polls came, answered or not.
    pub fn wait_polls(&self, more: usize) {
        let before = self.polls().len();
        wait_for(&format!("{more} more polls"), || {
            let now = self.polls().len();
            check(now >= before + more, format!("{} more", now - before))
        });
    }
}
