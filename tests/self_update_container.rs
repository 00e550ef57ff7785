//! An agent that is a container, and its image replaced: by a good one, by one that crashes, by one that brings the schema
//! forward and then fails; with the helper killed at every step. Afterwards one agent works on an intact database, and the
//! application's container was not touched. The points after a step, where the helper only looks before the next one begins,
//! are left to the long run (`HOLDFAST_TEST_ALL=1`).
// runs: beside the others
// needs: engine

use std::path::Path;
use std::time::Instant;

use crate::support::{
    Container, Engine, Release, Role, Service, Site, agent_image, binary, check, ids, long_run, next_agent, unique, wait_within,
};
use serde_json::{Value, json};

/// Longer than a change takes on a machine that has other things to do.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(180);

/// Points of the agent itself before its helper begins: those of `self_update` have been seen there.
const BEFORE_THE_HELPER: usize = 3;
/// What a step left is what the next one finds: between the two points the helper only looks.
const SAME_AS_THE_NEXT: &str = "after a step of the helper";
/// So many agents are interrupted side by side for each kind of image: most of the time somebody is waited for.
const SIDE_BY_SIDE: usize = 2;

/// A device whose agent is a container.
struct Ground<'e> {
    site: Site<'e>,
    name: String,
    release: Release,
    before: Vec<Container>,
    schema: u64,
    images: Vec<String>,
}

impl<'e> Ground<'e> {
    /// One that settled with the agent of this image.
    fn settled(engine: &'e Engine, image: &str) -> Ground<'e> {
        let mut site = Site::on(engine);
        let scope = format!("agent-{}", unique());
        site.device.set("HOLDFAST_SCOPE", &scope);
        let release = Release::new("first").service("main", Service::new(&engine.image(Role::Sleeps, "1")));
        site.want(&release);
        site.join();
        let before = site.wait_settled(&release);
        let schema = site.device.get("/v3/status").json()["database"]["schema"].as_u64().unwrap();
        assert!(site.device.stop().0.success());
        let name = format!("agent-{}", unique());
        let ground = Ground { site, name, release, before, schema, images: Vec::new() };
        ground.create(image, &scope);
        ground.works();
        ground
    }

    fn create(&self, image: &str, scope: &str) {
        let own = self.site.device.path("");
        let own = own.to_str().unwrap().trim_end_matches('/');
        let socket = self.site.engine.socket();
        let settings = json!({
            "Image": image, "Cmd": ["run"], "StopTimeout": 20,
            "Env": [
                format!("HOLDFAST_CONFIG={own}/config.json"), format!("HOLDFAST_DATA_DIR={own}/data"),
                format!("HOLDFAST_SOCKET={own}/agent.sock"), format!("HOLDFAST_LOCK_DIR={own}/locks"),
                format!("DOCKER_HOST=unix://{}", socket.display()), format!("HOLDFAST_SCOPE={scope}"),
                "HOLDFAST_UPDATE_DEADLINE=20s".to_owned(), format!("HOLDFAST_TEST_CUT={own}/cut"),
            ],
            "HostConfig": {
                "NetworkMode": "host", "RestartPolicy": { "Name": "unless-stopped" },
                "Binds": [format!("{own}:{own}"), format!("{0}:{0}", socket.display())],
            },
        });
        self.site.engine.call("POST", &format!("/containers/create?name={}", self.name), &settings);
        self.site.engine.call("POST", &format!("/containers/{}/start", self.name), &Value::Null);
    }

    /// An agent works, on an intact database of its schema, and no container of the application was touched.
    fn works(&self) {
        wait_within(LIMIT, "an agent that works", || {
            let status = self.site.device.try_get("/v3/status").map_err(|error| format!("{error}\n{}", self.logs()))?;
            check(status.status == 200, status.text())?;
            let status = status.json();
            check(status["phase"]["name"] == "settled" && status["health"]["healthy"] == true, &status["phase"])?;
            check(status["database"]["schema"] == self.schema, &status["database"])
        });
        let target = self.site.device.get("/v3/target").text();
        assert!(target.contains(&self.release.commit), "{target}");
        self.site.device.check_database();
        let now = self.site.engine.containers(&self.site.app);
        assert_eq!(ids(&now), ids(&self.before), "no container is another one");
        assert!(now.iter().zip(&self.before).all(|(now, before)| now.started_at() == before.started_at()), "nor restarted");
    }

    fn inspect(&self, name: &str) -> Option<Value> {
        let answer = self.site.engine.try_call("GET", &format!("/containers/{name}/json"), &[]).unwrap();
        (answer.status == 200).then(|| answer.json())
    }

    fn id(&self) -> String {
        self.inspect(&self.name).expect("the agent's container")["Id"].as_str().unwrap().to_owned()
    }

    /// Another name for an image: another image, as far as the agent can tell.
    fn tagged(&mut self, image: &str, tag: &str) -> String {
        let repository = image.split(':').next().unwrap();
        self.site.engine.call("POST", &format!("/images/{image}/tag?repo={repository}&tag={tag}"), &Value::Null);
        let name = format!("{repository}:{tag}");
        self.images.push(name.clone());
        name
    }

    fn ask_for(&self, image: &str) {
        let answer = self.site.device.post("/v3/agent/update", &json!({ "image": image }));
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// Waits until the helper says that it is done, and has ended.
    fn wait_helper(&self, image: &str) {
        wait_within(LIMIT, "the helper to be done", || {
            let helper = self.inspect(&format!("{}-update", self.name)).ok_or("no helper yet")?;
            check(helper["Config"]["Labels"]["io.holdfast.update.image"] == image, "an earlier helper")?;
            let done = helper["HostConfig"]["RestartPolicy"]["Name"] == "no" && helper["State"]["Running"] == false;
            check(done, format!("{}\n{}", helper["State"], self.logs()))
        });
    }

    /// The image is that of the agent, whose container is the only one that runs.
    fn has_image(&self, image: &str) {
        assert_eq!(self.inspect(&self.name).unwrap()["Config"]["Image"], image, "{}", self.logs());
        for other in ["old-agent", "new-agent"] {
            assert!(self.inspect(&format!("{}-{other}", self.name)).is_none(), "{other} is left");
        }
        let failed = self.inspect(&format!("{}-failed-agent", self.name));
        assert!(failed.is_none_or(|failed| failed["State"]["Running"] == false), "two agents run");
    }

    fn was_cut(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.site.device.path("cut")).unwrap();
        let _ = std::fs::remove_file(self.site.device.path("cut"));
        text.strip_prefix("-1\n").map(|name| name.trim().to_owned())
    }

    fn logs(&self) -> String {
        let of = |name: String| {
            let path = format!("/containers/{name}/logs?stdout=1&stderr=1&tail=30");
            let log = self.site.engine.try_call("GET", &path, &[]).map(|answer| answer.text()).unwrap_or_default();
            format!("--- {name}\n{log}")
        };
        let names = ["", "-update", "-new-agent", "-failed-agent"];
        names.map(|suffix| of(format!("{}{suffix}", self.name))).concat()
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        // First who would start the others again.
        for suffix in ["-update", "", "-new-agent", "-old-agent", "-failed-agent"] {
            let _ = self.site.engine.try_call("DELETE", &format!("/containers/{}{suffix}?force=1", self.name), &[]);
        }
        for image in &self.images {
            let _ = self.site.engine.try_call("DELETE", &format!("/images/{image}?force=1"), &[]);
        }
    }
}

#[test]
fn a_good_image_is_kept_and_a_bad_one_is_gone_back_from() {
    let Some(engine) = Engine::shared() else { return };
    let next = next_agent();
    let own = agent_image(&engine, Path::new(&binary()), &[]);
    let mut ground = Ground::settled(&engine, &own);
    ground.images.push(own.clone());
    let first = ground.id();

    let good = ground.tagged(&own, "good");
    let settings = ground.inspect(&ground.name).unwrap();
    ground.ask_for(&good);
    ground.wait_helper(&good);
    ground.has_image(&good);
    ground.works();
    let kept = ground.inspect(&ground.name).unwrap();
    assert_ne!(kept["Id"], first.as_str());
    for field in ["Binds", "NetworkMode", "RestartPolicy"] {
        assert_eq!(kept["HostConfig"][field], settings["HostConfig"][field]);
    }
    assert_eq!(kept["Config"]["Env"], settings["Config"]["Env"]);

    let before = ground.id();
    let crashing = agent_image(&engine, Path::new(&binary()), &["ENTRYPOINT [\"/usr/bin/holdfast\",\"fly\"]"]);
    ground.images.push(crashing.clone());
    ground.ask_for(&crashing);
    ground.wait_helper(&crashing);
    ground.has_image(&good);
    assert_eq!(ground.id(), before, "the same container runs again");
    ground.works();
    let status = ground.site.device.status();
    assert!(status.contains("failed its trial") && status.contains(&crashing), "{status}");

    // The engine makes its container and refuses to start it.
    let empty = agent_image(&engine, Path::new(&binary()), &["ENTRYPOINT [\"/no/such\"]"]);
    ground.images.push(empty.clone());
    ground.ask_for(&empty);
    ground.wait_helper(&empty);
    ground.has_image(&good);
    assert_eq!(ground.id(), before);
    ground.works();
    let slots = ground.site.device.get("/v3/agent").json();
    assert!(slots["failed"]["why"].as_str().unwrap().contains("/no/such"), "{slots}");
    let image = |name: &str| ground.site.engine.try_call("GET", &format!("/images/{name}/json"), &[]).unwrap().status;
    assert_eq!((image(&crashing), image(&empty)), (404, 200), "one that failed long ago takes no room any more");

    let stuck = agent_image(&engine, &next, &["ENV HOLDFAST_TEST_STUCK_LOOP=/usr/bin/holdfast"]);
    ground.images.push(stuck.clone());
    ground.ask_for(&stuck);
    ground.wait_helper(&stuck);
    ground.has_image(&good);
    assert_eq!(ground.id(), before);
    ground.works();
    let recovery = ground.site.device.get("/v3/status").json()["database"]["recovery"].to_string();
    assert!(recovery.contains("was replaced"), "{recovery}");
    let slots = ground.site.device.get("/v3/agent").json();
    assert!(slots["failed"]["why"].as_str().unwrap().contains("the engine has not answered"), "{slots}");
}

#[test]
fn the_helper_is_killed_at_every_step() {
    let Some(engine) = Engine::shared() else { return };
    let (begin, next) = (Instant::now(), next_agent());
    let own = agent_image(&engine, Path::new(&binary()), &[]);
    // Brings the schema forward, then ends: its health is never asked for long.
    let bad = agent_image(&engine, &next, &["ENTRYPOINT [\"/usr/bin/holdfast\",\"db\",\"migrate\",\"--socket\"]"]);
    let points = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2 * SIDE_BY_SIDE)
            .map(|number| {
                let (good, engine, own) = (number < SIDE_BY_SIDE, &engine, &own);
                let image = if good { own } else { &bad };
                (good, scope.spawn(move || interrupted(engine, own, image, number % SIDE_BY_SIDE)))
            })
            .collect();
        let mut points = [Vec::new(), Vec::new()];
        for (good, worker) in workers {
            points[usize::from(!good)].extend(worker.join().expect("what it says went wrong"));
        }
        points
    });
    for image in [&own, &bad] {
        let _ = engine.try_call("DELETE", &format!("/images/{image}?force=1"), &[]);
    }
    let count: usize = points.iter().map(Vec::len).sum();
    println!("a good image: {} points, one that fails: {}", points[0].len(), points[1].len());
    println!(
        "the helper was killed at {count} points in {:.0} s; each time one agent then worked on an intact database, and the \
         application's container kept its id",
        begin.elapsed().as_secs_f32()
    );
    let least = if long_run() { 12 } else { 7 };
    assert!(points.iter().all(|points| points.len() >= least), "{points:?}");
}

/// Kills the helper at every so-many-th point from the `first` on until there are no more; says at which.
fn interrupted(engine: &Engine, own: &str, image: &str, first: usize) -> Vec<String> {
    let mut ground = Ground::settled(engine, own);
    let skipped = if long_run() { "" } else { SAME_AS_THE_NEXT };
    let mut points = Vec::new();
    for step in (BEFORE_THE_HELPER + first..).step_by(SIDE_BY_SIDE) {
        let wanted = ground.tagged(image, &format!("step-{first}-{step}"));
        let before = ground.inspect(&ground.name).unwrap()["Config"]["Image"].as_str().unwrap().to_owned();
        std::fs::write(ground.site.device.path("cut"), format!("{step}\n{skipped}\n")).unwrap();
        ground.ask_for(&wanted);
        ground.wait_helper(&wanted);
        ground.has_image(if image == own { &wanted } else { &before });
        ground.works();
        match ground.was_cut() {
            Some(at) => points.push(at),
            None => break,
        }
    }
    points
}
