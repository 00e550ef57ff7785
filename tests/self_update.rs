//! The agent replaces itself, by the launcher and its slots, on a real engine: good versions, and versions that crash, hang, or
//! bring the schema forward and then fail; with the power cut at every step of each exchange. Afterwards the device runs an
//! agent that works on an intact database, and no container was touched.
// runs: beside the others
// needs: engine

mod signature;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Container, Device, Engine, Files, Release, Role, Service, Site, Supervised, binary, check, ids, next_agent, slots,
    wait_for,
};
use serde_json::Value;

/// How long a version has to prove itself here.
const DEADLINE: &str = "12s";

/// So many devices are interrupted side by side for each kind of version: most of the time somebody is waited for.
const SIDE_BY_SIDE: usize = 2;

/// A device that settled with the image's own agent, started by the launcher.
struct Ground<'e> {
    site: Site<'e>,
    service: Supervised,
    files: Files,
    release: Release,
    before: Vec<Container>,
    schema: u64,
    /// The image's own binary.
    own: Vec<u8>,
    /// How long the log was when something was wanted last.
    said: Cell<usize>,
}

/// A binary without what only debuggers read.
fn stripped(program: &Path, to: &Path) {
    std::fs::copy(program, to).unwrap();
    // Where it cannot be stripped it is taken as it is.
    let _ = Command::new("strip").arg("-s").arg(to).status();
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<'e> Ground<'e> {
    fn settled(engine: &'e Engine) -> Ground<'e> {
        Ground::settled_as(engine, |_| {})
    }

    /// The same of a device that is prepared first.
    fn settled_as(engine: &'e Engine, prepare: impl FnOnce(&mut Device)) -> Ground<'e> {
        let mut site = Site::on(engine);
        prepare(&mut site.device);
        let own = site.device.path("holdfast");
        stripped(Path::new(&binary()), &own);
        site.device.change_agent(&own);
        site.device.set("HOLDFAST_UPDATE_DEADLINE", DEADLINE);
        site.device.set("HOLDFAST_TEST_CUT", site.device.path("cut").to_str().unwrap());
        site.device.set("HOLDFAST_TEST_STUCK_LOOP", site.device.path("nobody-is-stuck").to_str().unwrap());
        let service = Supervised::new(&mut site.device);
        let release = Release::new("first").service("main", Service::new(&engine.image(Role::Sleeps, "1")));
        site.want(&release);
        site.join();
        let before = site.wait_settled(&release);
        let schema = schema(&site.device).unwrap();
        let own = std::fs::read(own).unwrap();
        Ground { site, service, files: Files::serve(), release, before, schema, own, said: Cell::new(0) }
    }

    /// The cloud wants this agent; its SHA-256.
    fn want(&self, name: &str, content: Vec<u8>) -> String {
        let sum = sha256(&content);
        let url = self.files.put(name, content);
        self.set(&[("HOLDFAST_AGENT_URL", &url), ("BALENA_HOLDFAST_AGENT_SHA256", &sum)]);
        sum
    }

    /// Sets the variables. What is told from now on is told of them.
    fn set(&self, variables: &[(&str, &str)]) {
        self.said.set(self.site.device.log().len());
        self.site.want_with(&self.release, variables);
    }

    /// The image's own agent as another file.
    fn good(&self, number: usize) -> Vec<u8> {
        [self.own.as_slice(), format!("version {number}").as_bytes()].concat()
    }

    fn until<T>(&mut self, what: &str, look: impl FnMut(&crate::support::Device) -> Result<T, String>) -> T {
        self.service.until(&mut self.site.device, what, look)
    }

    /// Runs a command that may have the agent started anew.
    fn command(&mut self, arguments: &[&str]) -> Answer {
        self.service.command(&mut self.site.device, arguments)
    }

    /// Waits until this version is kept and runs.
    fn wait_kept(&mut self, sum: &str) -> Value {
        self.until("the version to be kept", |device| {
            let slots = slots(device)?;
            check(slots["kept"]["sha256"] == sum && slots["trial"].is_null(), &slots)?;
            check(slots["running"] == slots["kept"]["slot"], &slots).map(|()| slots)
        })
    }

    /// Waits until this version failed and another one runs.
    fn wait_failed(&mut self, sum: &str) -> Value {
        self.until("the version to have failed", |device| {
            let slots = slots(device)?;
            check(slots["failed"]["sha256"] == sum && slots["trial"].is_null(), &slots).map(|()| slots)
        })
    }

    /// The agent works, on an intact database of its schema, and no container was touched.
    fn works(&mut self) {
        let (wanted, commit) = (self.schema, self.release.commit.clone());
        self.until("an agent that works", |device| {
            let status = device.try_get("/v3/status").map_err(|error| error.to_string())?;
            check(status.status == 200, status.text())?;
            let status = status.json();
            check(status["phase"]["name"] == "settled" && status["health"]["healthy"] == true, &status["phase"])?;
            check(status["cloud"]["last_poll"].is_object(), &status["cloud"])?;
            check(status["database"]["schema"] == wanted, &status["database"])
        });
        let target = self.site.device.get("/v3/target").text();
        assert!(target.contains(&commit), "the stored target is still there: {target}");
        self.site.device.check_database();
        let now = self.site.engine.containers(&self.site.app);
        assert_eq!(ids(&now), ids(&self.before), "no container is another one");
        assert!(now.iter().zip(&self.before).all(|(now, before)| now.started_at() == before.started_at()), "nor restarted");
    }

    /// Cuts the power at the n-th step from now on; says later whether there was one.
    fn cut_at(&self, step: usize) {
        std::fs::write(self.site.device.path("cut"), step.to_string()).unwrap();
    }

    /// Where it was cut, if it was.
    fn was_cut(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.site.device.path("cut")).unwrap();
        let _ = std::fs::remove_file(self.site.device.path("cut"));
        text.strip_prefix("-1\n").map(|name| name.trim().to_owned())
    }
}

fn schema(device: &crate::support::Device) -> Result<u64, String> {
    let status = device.try_get("/v3/status").map_err(|error| error.to_string())?.json();
    status["database"]["schema"].as_u64().ok_or_else(|| status.to_string())
}

/// A version that tells its version and then does this.
fn script(number: usize, run: &str) -> Vec<u8> {
    format!("#!/bin/sh\n# {number}\ncase $1 in version) echo 'holdfast 9.9.{number} (x)' ;; run) {run} ;; esac\n").into_bytes()
}

/// A version that brings the schema forward by a step and ends.
fn migrates_and_ends(number: usize, next: &Path) -> Vec<u8> {
    script(number, &format!("'{}' db migrate >/dev/null 2>&1; exit 1", next.display()))
}

#[test]
fn good_and_bad_versions() {
    let Some(engine) = Engine::shared() else { return };
    let next = next_agent();
    let mut ground = Ground::settled(&engine);
    assert_eq!(slots(&ground.site.device).unwrap()["running"], "factory");

    // A good one, over a connection that breaks off twice: carried on where it broke.
    let good = ground.good(1);
    ground.files.break_off(good.len() / 3, 2);
    let first = ground.want("good-1", good);
    let kept = ground.wait_kept(&first);
    assert_eq!((&kept["kept"]["slot"], &kept["previous"]), (&Value::from("a"), &Value::Null));
    let ranges = ground.files.ranges();
    assert!(ranges.len() == 3 && ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    ground.works();

    // Crashes at every start.
    let crashing = ground.want("crashing", script(2, "exit 1"));
    let failed = ground.wait_failed(&crashing);
    assert!(failed["failed"]["why"].as_str().unwrap().contains("was started 3 times"), "{failed}");
    assert_eq!((&failed["running"], &failed["kept"]["sha256"]), (&Value::from("a"), &Value::from(first.as_str())));
    ground.works();
    ground.tells("was not kept");
    wait_for("the cloud to be told", || {
        let lines = Value::from(ground.site.cloud.log_lines()).to_string();
        check(lines.contains("agent 9.9.2 was not kept"), lines)
    });

    // Ends at every start as a wrong setting does: the unit has it started again all the same.
    let refusing = ground.want("refusing", script(6, "exit 2"));
    ground.wait_failed(&refusing);
    ground.works();

    // The next schema version, with a loop that is stuck: it is ready and yet never sees the engine.
    let stuck = ground.site.device.path("stuck");
    std::fs::write(&stuck, "").unwrap();
    let run = format!("shift; HOLDFAST_TEST_STUCK_LOOP='{}' exec '{}' run \"$@\"", stuck.display(), next.display());
    let moving = ground.want("moving", script(4, &run));
    let failed = ground.wait_failed(&moving);
    assert!(failed["failed"]["why"].as_str().unwrap().contains("the engine has not answered"), "{failed}");
    ground.works();
    ground.tells("the copy of before it");

    // What failed is not tried again, and what it left does not stand in the way of the next one.
    ground.site.device.post("/v3/agent/check", &Value::Null);
    std::thread::sleep(Duration::from_secs(3));
    assert!(slots(&ground.site.device).unwrap()["trial"].is_null());
    let second = ground.want("good-5", ground.good(5));
    let kept = ground.wait_kept(&second);
    assert_eq!((&kept["kept"]["slot"], &kept["previous"]["sha256"]), (&Value::from("b"), &Value::from(first.as_str())));
    assert!(kept["failed"].is_null());
    ground.works();

    // A schema version forward, for good: the agents before can still be gone back to by their own way.
    let content = std::fs::read(&next).unwrap();
    let (stripped_next, schema) = (ground.site.device.path("next"), ground.schema);
    std::fs::write(&stripped_next, content).unwrap();
    let _ = Command::new("strip").arg("-s").arg(&stripped_next).status();
    let third = ground.want("next", std::fs::read(&stripped_next).unwrap());
    ground.wait_kept(&third);
    ground.schema = schema + 1;
    ground.works();
    let logged = ground.site.device.log();
    assert!(!logged.contains("panicked"), "nothing panics");
}

/// The service manager kills it, as often as it is tried.
#[test]
fn a_version_that_hangs() {
    let Some(engine) = Engine::shared() else { return };
    let mut ground = Ground::settled(&engine);
    let hanging = ground.want("hanging", script(3, "exec sleep 1000"));
    ground.service.ready_within(Duration::from_secs(8));
    ground.wait_failed(&hanging);
    ground.service.ready_within(Duration::from_secs(30));
    let killed = ground.service.ends.iter().filter(|end| end.contains("watchdog")).count();
    assert!(killed >= 3, "{:?}", ground.service.ends);
    assert_eq!(slots(&ground.site.device).unwrap()["running"], "factory");
    ground.works();
}

#[test]
fn what_is_not_what_it_should_be_is_not_installed() {
    let Some(engine) = Engine::shared() else { return };
    let mut ground = Ground::settled(&engine);
    let wrong = "0".repeat(64);
    let url = ground.files.put("wrong", ground.good(1));
    ground.set(&[("HOLDFAST_AGENT_URL", &url), ("HOLDFAST_AGENT_SHA256", &wrong)]);
    ground.tells("its SHA-256 is");
    ground.set(&[("HOLDFAST_AGENT_URL", &url)]);
    ground.tells("HOLDFAST_AGENT_SHA256 is not 64");
    ground.want("foreign", b"\x7fELF of another machine".to_vec());
    ground.tells("no agent for this machine");
    let (url, sum) = (ground.files.put("gone", Vec::new()), sha256(b"x"));
    ground.set(&[("HOLDFAST_AGENT_URL", &url), ("HOLDFAST_AGENT_SHA256", &sum)]);
    ground.tells("its SHA-256 is e3b0c442");
    ground.works();
    ground.set(&[]);
    ground.until("nothing to be wanted", |device| slots(device).and_then(|slots| check(slots["error"].is_null(), &slots)));

    // By hand, through the agent, and wrong.
    let file = ground.site.device.path("given");
    std::fs::write(&file, ground.good(2)).unwrap();
    let refused = ground.site.device.command(&["self-update", file.to_str().unwrap(), "--sha256", &wrong]);
    assert!(refused.code == 1 && refused.stderr.contains("its SHA-256 is"), "{refused:?}");
    // By hand, through the agent, and right.
    ground.site.want(&ground.release);
    let taken = ground.command(&["self-update", file.to_str().unwrap()]);
    assert!(taken.code == 0 && taken.stdout.contains("on trial"), "{taken:?}");
    let first = sha256(&ground.good(2));
    ground.wait_kept(&first);
    ground.works();

    // While no agent runs, on its slots.
    ground.site.device.kill();
    std::fs::write(&file, ground.good(3)).unwrap();
    let taken = ground.site.device.command(&["self-update", file.to_str().unwrap(), "--offline"]);
    assert!(taken.code == 0 && taken.stdout.contains("next start of holdfast launch"), "{taken:?}");
    let second = sha256(&ground.good(3));
    ground.wait_kept(&second);
    ground.works();

    // Both slots spoilt: the image's own agent runs.
    ground.site.device.kill();
    for slot in ["a", "b"] {
        std::fs::write(ground.site.device.path(&format!("data/agent/{slot}/holdfast")), "spoilt").unwrap();
    }
    ground.works();
    assert_eq!(slots(&ground.site.device).unwrap()["running"], "factory");
}

#[test]
fn the_power_is_cut_at_every_step() {
    let Some(engine) = Engine::shared() else { return };
    let (begin, next) = (Instant::now(), next_agent());
    let points = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2 * SIDE_BY_SIDE)
            .map(|number| {
                let (kind, first, engine, next) = (number / SIDE_BY_SIDE, number % SIDE_BY_SIDE, &engine, &next);
                (kind, scope.spawn(move || interrupted(engine, (kind == 1).then_some(next), first)))
            })
            .collect();
        let mut points = [Vec::new(), Vec::new()];
        for (kind, worker) in workers {
            points[kind].extend(worker.join().expect("what it says went wrong"));
        }
        points
    });
    for (kind, points) in ["a good version", "one that brings the schema forward and fails"].iter().zip(&points) {
        println!("{kind}: cut at {} points: {}", points.len(), points.join(", "));
    }
    let count: usize = points.iter().map(Vec::len).sum();
    println!(
        "{count} points were interrupted in {:.0} s; each time the device then ran an agent that works, on an intact database, \
         and its containers kept their ids",
        begin.elapsed().as_secs_f32()
    );
    assert!(points[0].len() >= 10 && points[1].len() >= 14, "{points:?}");
}

/// Cuts the power of one device at every so-many-th point from the `first` on until there are no more, each time with another
/// version: a good one, or one that has `failing` bring the schema forward. Says at which.
fn interrupted(engine: &Engine, failing: Option<&PathBuf>, first: usize) -> Vec<String> {
    let mut ground = Ground::settled(engine);
    let mut points = Vec::new();
    for step in (first..).step_by(SIDE_BY_SIDE) {
        let name = format!("version-{step}");
        ground.cut_at(step);
        if let Some(next) = failing {
            let sum = ground.want(&name, migrates_and_ends(step, next));
            ground.wait_failed(&sum);
        } else {
            let sum = ground.want(&name, ground.good(step));
            ground.wait_kept(&sum);
        }
        ground.works();
        match ground.was_cut() {
            Some(at) => points.push(at),
            None => break,
        }
    }
    points
}

impl Ground<'_> {
    /// Waits until the device says this, in its log and to its cloud or in its status.
    fn tells(&mut self, words: &str) {
        let said = self.said.get();
        self.until(&format!("the device to tell {words:?}"), |device| {
            let told = device.try_get("/v3/status").map_err(|error| error.to_string())?.text();
            check(told.contains(words) || device.log().get(said..).is_some_and(|log| log.contains(words)), &told)
        });
    }
}
