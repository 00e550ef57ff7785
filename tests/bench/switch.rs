//! Measures the time from a new target to all its containers running, next to plain engine calls that make and start the
//! very same containers all at once. `tests/bench/switch` builds the binary, starts the engine and runs this.
//!
//! The agent's time begins with the request to look at the cloud, and holds the poll, the stored target, the locks and the
//! network. The peer's holds the network and the containers. Images are there in both cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses its part of this")]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{App, Engine, History, Release, Role, Service, Site, check, device_target, wait_for};

const REPEATS: usize = 7;
const AIM: f64 = 1.15;

fn main() {
    let Some(engine) = Engine::shared() else { return };
    let bench = Bench::new(&engine);
    println!("{:>8} {:>12} {:>12} {:>8} {:>8}", "services", "agent, ms", "plain, ms", "ratio", "aim");
    for services in [1, 5, 20] {
        let mut times: [Vec<f64>; 2] = Default::default();
        for repeat in 0..=REPEATS {
            let (agent, plain) = bench.once(services, repeat);
            // The first round warms both up.
            if repeat > 0 {
                times[0].push(agent);
                times[1].push(plain);
            }
        }
        let [agent, plain] = times.map(median);
        let ratio = agent / plain;
        let verdict = if ratio <= AIM { "" } else { "  <-- over" };
        println!("{services:>8} {agent:>12.0} {plain:>12.0} {ratio:>8.2} {AIM:>8.2}{verdict}");
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A device with an app that keeps the image, so that it need not be pulled again each time.
struct Bench<'e> {
    site: Site<'e>,
    keeper: (App, Release),
    image: String,
}

impl<'e> Bench<'e> {
    fn new(engine: &'e Engine) -> Bench<'e> {
        let mut site = Site::on(engine);
        site.device.set("RUST_LOG", "info");
        site.device.set("HOLDFAST_POLL_INTERVAL", "900000");
        let image = engine.image(Role::Sleeps, "any");
        let keeper = (App::new(), Release::new("keeper").service("keeper", Service::new(&image)));
        site.cloud.want(&[(&keeper.0, &keeper.1)]);
        site.join();
        site.cloud.wait_settled(&keeper.0, &keeper.1);
        Bench { site, keeper, image }
    }

    /// Both ways once, ms.
    fn once(&self, services: usize, repeat: usize) -> (f64, f64) {
        let release = (0..services).fold(Release::new(&format!("{services} services, {repeat}")), |release, number| {
            release.service(&format!("service-{number}"), Service::new(&self.image).variable("SOME", "thing"))
        });
        self.look_for(&[(&self.site.app, &release)]);
        let agent = self.started(services, || self.look());
        let bodies: Vec<Value> = self.site.engine.containers(&self.site.app).iter().map(|c| body(&c.inspect)).collect();
        assert_eq!(bodies.len(), services);
        self.look_for(&[]);
        self.look();
        self.wait_gone();

        let plain = self.started(services, || self.make(&bodies));
        self.remove();
        (agent, plain)
    }

    /// The cloud has these apps, beside the keeper; the agent does not know yet.
    fn look_for(&self, apps: &[(&App, &Release)]) {
        let keeper = (&self.keeper.0, &self.keeper.1);
        let apps: Vec<(&App, &Release)> = apps.iter().copied().chain([keeper]).collect();
        self.site.cloud.set_target(device_target(&apps, &[]));
    }

    fn look(&self) {
        assert!(self.site.device.post("/v1/update", &json!({})).status < 300);
    }

    /// From `begin` until so many containers of the app have started, ms.
    fn started(&self, services: usize, begin: impl FnOnce()) -> f64 {
        let history = History::of(self.site.engine);
        let since = Instant::now();
        begin();
        loop {
            let started = history.about(&["container start service-"]).len();
            if started >= services {
                return since.elapsed().as_secs_f64() * 1000.0;
            }
            assert!(since.elapsed() < support::PATIENCE, "{started} of {services} started");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_gone(&self) {
        let (engine, app) = (self.site.engine, &self.site.app);
        wait_for("the containers and networks to go", || {
            check(engine.containers(app).is_empty() && engine.networks(&app.uuid).is_empty(), "still there")
        });
        // The agent comes to rest: it is not to take part in what is measured next.
        wait_for("the agent to have settled", || {
            let status = self.site.device.get("/v3/status").json();
            check(status["phase"]["name"] == "settled", &status["phase"])
        });
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Plain calls: the network, then all containers at once, each started as soon as it is made. They carry no label, so
    /// the agent does not see them.
    fn make(&self, bodies: &[Value]) {
        let engine = self.site.engine;
        let network = json!({ "Name": self.site.app.network("default"), "Driver": "bridge" });
        engine.call("POST", "/networks/create", &network);
        std::thread::scope(|scope| {
            for (number, body) in bodies.iter().enumerate() {
                scope.spawn(move || {
                    let made = engine.call("POST", &format!("/containers/create?name=service-{number}"), body).json();
                    let id = made["Id"].as_str().expect("an id");
                    engine.call("POST", &format!("/containers/{id}/start"), &Value::Null);
                });
            }
        });
    }

    fn remove(&self) {
        let engine = self.site.engine;
        let list = engine.call("GET", "/containers/json?all=1", &Value::Null).json();
        let plain = |c: &&Value| c["Names"][0].as_str().is_some_and(|name| name.starts_with("/service-"));
        for container in list.as_array().expect("a list").iter().filter(plain) {
            engine.remove_container(container["Id"].as_str().expect("an id"));
        }
        engine.call("DELETE", &format!("/networks/{}", self.site.app.network("default")), &Value::Null);
    }
}

/// The request that makes a container like this one, but nobody's.
fn body(inspect: &Value) -> Value {
    let mut body = inspect["Config"].clone();
    body["HostConfig"] = inspect["HostConfig"].clone();
    let labels = body["Labels"].as_object_mut().expect("labels");
    labels.retain(|label, _| !label.starts_with("io.balena.supervised") && !label.starts_with("io.holdfast"));
    body["Hostname"] = json!("");
    body
}
