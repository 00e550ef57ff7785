//! A device with its cloud and one app: what most tests on the real engine begin with.

use serde_json::Value;

use super::{App, Cloud, Container, Device, Engine, Release, check, device_target, wait_for};

/// A device on an engine, the cloud it listens to, and the app it runs. Its containers go when it is dropped.
pub struct Site<'e> {
    pub engine: &'e Engine,
    pub device: Device,
    pub cloud: Cloud,
    pub app: App,
}

impl<'e> Site<'e> {
    /// A device whose agent was not started yet.
    pub fn on(engine: &'e Engine) -> Site<'e> {
        let device = Device::on(engine);
        let cloud = Cloud::of(&device);
        Site { engine, device, cloud, app: App::new() }
    }

    /// A device that has settled on a release, with its containers by service name.
    pub fn settled(engine: &'e Engine, release: &Release) -> (Site<'e>, Vec<Container>) {
        let mut site = Site::on(engine);
        site.want(release);
        site.join();
        let containers = site.wait_settled(release);
        (site, containers)
    }

    /// Starts the agent.
    pub fn join(&mut self) {
        self.device.join(&self.cloud);
    }

    /// The cloud asks for this release.
    pub fn want(&self, release: &Release) {
        self.want_with(release, &[]);
    }

    /// The same with device variables.
    pub fn want_with(&self, release: &Release, variables: &[(&str, &str)]) {
        self.cloud.set_target(device_target(&[(&self.app, release)], variables));
    }

    /// Waits until the device reports the release and each of its services runs in one container that is named after it.
    pub fn wait_settled(&self, release: &Release) -> Vec<Container> {
        self.cloud.wait_settled(&self.app, release);
        self.engine.wait_running(&self.app, &release.commit, &release.services())
    }

    /// Asks for a release and waits until it runs.
    pub fn update(&self, release: &Release) -> Vec<Container> {
        self.want(release);
        self.wait_settled(release)
    }

    /// What the agent waits for now, as `/v3/status` says: rows with `reason` and `text`.
    pub fn waits(&self) -> Vec<Value> {
        let status = self.device.get("/v3/status").json();
        status["waiting"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the agent waits for this reason (`waiting-for-lock`, …) and returns its sentence.
    pub fn wait_reason(&self, reason: &str) -> String {
        wait_for(&format!("the reason {reason}"), || {
            let waits = self.waits();
            let row = waits.iter().find(|row| row["reason"] == reason);
            row.and_then(|row| row["text"].as_str()).map(str::to_owned).ok_or_else(|| format!("{waits:?}"))
        })
    }

    /// What the cloud was told of the app.
    pub fn reported(&self) -> Value {
        self.cloud.reported()["apps"][&self.app.uuid].clone()
    }

    /// Waits for an update status of a release in the report.
    pub fn wait_reported(&self, release: &Release, update_status: &str) {
        wait_for(&format!("the report that {} is {update_status}", release.commit), || {
            let app = self.reported();
            check(app["releases"][&release.commit]["update_status"] == update_status, &app)
        });
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        self.device.kill_if_running();
        // Health checks and crash loops of one test would slow down the next ones.
        for container in self.engine.containers(&self.app) {
            let _ = self.engine.try_call("DELETE", &format!("/containers/{}?force=1", container.id), &[]);
        }
    }
}
