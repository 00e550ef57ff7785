//! The main job on a real engine with a real registry: install, update, volumes, removal, restarts, and what happens when
//! something is in the way.
// needs: engine

use std::time::{Duration, Instant};

use crate::support::{
    App, Cloud, Container, Device, Engine, Release, Role, Service, check, ids, long_run, unique, wait_for, wait_within,
};
use serde_json::json;

/// A device whose three services run: `db` with a volume, `main` that depends on it and shares the volume, `web` with a
/// published port.
struct Fleet {
    cloud: Cloud,
    device: Device,
    app: App,
    images: [String; 3],
    port: u64,
}

const SERVICES: [&str; 3] = ["db", "main", "web"];

impl Fleet {
    fn new(engine: &Engine) -> Fleet {
        let device = Device::on(engine);
        let cloud = Cloud::of(&device);
        let images =
            [engine.image(Role::Sleeps, "db 1"), engine.image(Role::Sleeps, "main 1"), engine.image(Role::Serves, "web 1")];
        Fleet { cloud, device, app: App::new(), images, port: 20_000 + unique() % 10_000 }
    }

    /// A fleet that has settled on its first release.
    fn settled(engine: &Engine) -> (Fleet, Release, Vec<Container>) {
        let mut fleet = Fleet::new(engine);
        let first = fleet.release("first", &fleet.images[1].clone());
        fleet.cloud.want(&[(&fleet.app, &first)]);
        fleet.device.join(&fleet.cloud);
        fleet.cloud.wait_settled(&fleet.app, &first);
        let containers = engine.wait_running(&fleet.app, &first.commit, &SERVICES);
        (fleet, first, containers)
    }

    /// A release that differs in the image of `main` only.
    fn release(&self, name: &str, main: &str) -> Release {
        let [db, _, web] = &self.images;
        Release::new(name)
            .service("db", Service::new(db).mount("data:/data"))
            .service("main", Service::new(main).depends_on(&["db"]).mount("data:/data").variable("COLOUR", "green"))
            .service("web", Service::new(web).publish(&format!("{}:80", self.port)))
            .volume("data")
    }

    fn want(&self, release: &Release) {
        self.cloud.want(&[(&self.app, release)]);
    }

    fn lock(&self, engine: &Engine, service: &str) {
        // As the application does it, from inside its container.
        engine.exec_ok(&engine.service(&self.app, service).id, &["touch", "/tmp/balena/updates.lock"]);
    }
}

#[test]
fn a_release_of_three_services_is_installed() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, release, containers) = Fleet::settled(&engine);
    let [db, main, web] = &containers[..] else { panic!("three containers") };

    assert!(db.started_at() < main.started_at(), "main depends on db: {} {}", db.started_at(), main.started_at());
    assert!(engine.volumes(&fleet.app.volume("")).contains(&fleet.app.volume("data")));
    let page = wait_for("the published port", || engine.fetch_published(fleet.port));
    assert!(page.starts_with("web 1"), "{page}");

    assert_eq!(main.label("io.balena.supervised"), Some("true"));
    assert_eq!(main.label("io.balena.app-uuid"), Some(fleet.app.uuid.as_str()));
    assert_eq!(main.label("io.balena.service-name"), Some("main"));
    assert_eq!(main.variable("COLOUR"), Some("green"));
    assert_eq!(main.variable("BALENA_APP_ID"), Some(fleet.app.id.to_string().as_str()));
    assert_eq!(main.variable("BALENA_DEVICE_UUID"), Some(fleet.device.uuid.as_str()));
    assert_eq!(main.variable("RESIN_SERVICE_NAME"), Some("main"));
    for container in [db, main, web] {
        assert!(container.name.starts_with(&format!("{}_", container.service)), "{}", container.name);
        engine.exec_ok(&container.id, &["test", "-d", "/tmp/balena"]);
    }

    let reported = fleet.cloud.reported();
    let images = &reported["apps"][&fleet.app.uuid]["releases"][&release.commit]["services"];
    assert_eq!(images["main"]["image"], fleet.images[1], "the report names the image as the target does");
}

#[test]
fn an_update_replaces_only_what_changed_and_keeps_the_volume() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, _, before) = Fleet::settled(&engine);
    engine.exec_ok(&before[1].id, &["sh", "-c", "echo precious > /data/file"]);

    let second = fleet.release("second", &engine.image(Role::Sleeps, "main 2"));
    fleet.want(&second);
    fleet.cloud.wait_settled(&fleet.app, &second);

    let after = engine.wait_running(&fleet.app, &second.commit, &SERVICES);
    assert_eq!(after[0].id, before[0].id, "db did not change");
    assert_eq!(after[2].id, before[2].id, "web did not change");
    assert_ne!(after[1].id, before[1].id, "main has a new image");
    assert_eq!(after[0].started_at(), before[0].started_at(), "db was not restarted");
    assert!(engine.exec_ok(&after[1].id, &["cat", "/variant"]).starts_with("main 2"));
    assert_eq!(engine.exec_ok(&after[1].id, &["cat", "/data/file"]), "precious\n");
    wait_for("the superseded image to go", || check(!engine.has_image(&fleet.images[1]), "it is there"));
}

#[test]
fn a_held_lock_delays_the_update_and_its_removal_lets_it_through() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, first, before) = Fleet::settled(&engine);
    fleet.lock(&engine, "web");

    let image = engine.image(Role::Sleeps, "main 2");
    let second = fleet.release("second", &image);
    fleet.want(&second);
    fleet.device.wait_status(&["updates.lock", "web"]);
    wait_for("the download, which no lock holds back", || check(engine.has_image(&image), "not there"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ids(&engine.wait_running(&fleet.app, &first.commit, &SERVICES)), ids(&before), "a lock is a promise");

    let released = Instant::now();
    engine.exec_ok(&before[2].id, &["rm", "/tmp/balena/updates.lock"]);
    wait_within(Duration::from_secs(2), "the update to go on after the lock was removed", || {
        let main: Vec<Container> = engine.containers(&fleet.app).into_iter().filter(|c| c.service == "main").collect();
        check(!main.iter().any(|c| c.id == before[1].id && c.running), format!("{:?} after the removal", released.elapsed()))
    });
    fleet.cloud.wait_settled(&fleet.app, &second);
    let lock = fleet.device.lock_dir(&fleet.app, "web").join("updates.lock");
    wait_for("the agent to give its own locks back", || check(!lock.exists(), lock.display()));
}

#[test]
fn force_breaks_a_lock_that_an_update_already_waits_for() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, _, _) = Fleet::settled(&engine);
    fleet.lock(&engine, "main");
    let second = fleet.release("second", &engine.image(Role::Sleeps, "main 2"));
    fleet.want(&second);
    fleet.device.wait_status(&["updates.lock"]);

    let locks = fleet.device.command(&["lock", "list"]);
    assert!(locks.code == 0 && locks.stdout.contains("main"), "{locks:?}");
    let forced = fleet.device.command(&["update", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    fleet.cloud.wait_settled(&fleet.app, &second);
    assert!(fleet.device.log().contains("force"), "who broke a lock stands in the log");
}

#[test]
fn a_target_without_the_app_removes_its_containers_and_keeps_its_volumes() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, _, _) = Fleet::settled(&engine);
    assert!(!engine.networks(&fleet.app.uuid).is_empty());
    fleet.cloud.want(&[]);
    wait_for("the containers to go", || {
        let left = engine.containers(&fleet.app);
        check(left.is_empty(), format!("{} left", left.len()))
    });
    wait_for("the networks to go", || check(engine.networks(&fleet.app.uuid).is_empty(), "still there"));
    assert_eq!(engine.volumes(&fleet.app.volume("")), [fleet.app.volume("data")], "volumes have a grace period");
}

#[test]
fn an_image_that_cannot_be_pulled_leaves_the_old_release_running() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, first, before) = Fleet::settled(&engine);
    let missing = engine.missing_image();
    let second = fleet.release("second", &missing);
    fleet.want(&second);

    let repository = missing.split('@').next().expect("a repository");
    fleet.device.wait_status(&[repository, "not found"]);
    let shown = fleet.device.command(&["status"]);
    assert!(shown.code == 0 && shown.stdout.contains(repository), "{shown:?}");
    let reported = wait_for("the report to speak of the second release", || {
        let app = fleet.cloud.reported()["apps"][&fleet.app.uuid].clone();
        check(app["releases"][&second.commit].is_object(), &app)?;
        Ok(app)
    });
    assert_eq!(reported["release_uuid"], first.commit.as_str(), "the first release is still the settled one");
    assert_eq!(reported["releases"][&second.commit]["update_status"], "downloading", "{reported}");
    assert_eq!(ids(&engine.wait_running(&fleet.app, &first.commit, &SERVICES)), ids(&before));

    // And a release that can be pulled ends the trouble.
    let third = fleet.release("third", &engine.image(Role::Sleeps, "main 3"));
    fleet.want(&third);
    fleet.cloud.wait_settled(&fleet.app, &third);
    wait_for("the trouble to be over in the status", || {
        let status = fleet.device.status();
        check(!status.contains(repository), status)
    });
}

#[test]
fn an_agent_killed_in_the_middle_of_an_update_finishes_it_after_a_restart() {
    let Some(engine) = Engine::shared() else { return };
    let (mut fleet, _, before) = Fleet::settled(&engine);
    engine.exec_ok(&before[1].id, &["sh", "-c", "echo precious > /data/file"]);

    let rounds = if long_run() { 20 } else { 4 };
    for round in 0..rounds {
        let next = fleet.release(&format!("round {round}"), &engine.image(Role::Sleeps, &format!("main {round}")));
        fleet.want(&next);
        fleet.device.post("/v1/update", &json!({}));
        // Between the arrival of the target and the end of the update lie a few hundred milliseconds: spread over them.
        std::thread::sleep(Duration::from_millis(40 + 900 * round / rounds));
        fleet.device.kill();
        fleet.device.check_database();
        fleet.device.start();
        fleet.cloud.wait_settled(&fleet.app, &next);
        let after = engine.wait_running(&fleet.app, &next.commit, &SERVICES);
        assert_eq!(after[0].id, before[0].id, "round {round}: db never changed");
        assert_eq!(engine.exec_ok(&after[1].id, &["cat", "/data/file"]), "precious\n");
    }
}

#[test]
fn without_a_network_a_restarted_agent_goes_on_from_the_stored_target() {
    let Some(engine) = Engine::shared() else { return };
    let (mut fleet, first, before) = Fleet::settled(&engine);
    fleet.cloud.go_away();
    let (status, took) = fleet.device.stop();
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    assert_eq!(ids(&engine.wait_running(&fleet.app, &first.commit, &SERVICES)), ids(&before), "containers go on without it");

    engine.remove_container(&before[1].id);
    fleet.device.start();
    let after = engine.wait_running(&fleet.app, &first.commit, &SERVICES);
    assert_eq!(after[0].id, before[0].id);
    assert_ne!(after[1].id, before[1].id);
    assert_eq!(fleet.device.get("/v1/healthy").status, 200, "offline is not unhealthy");
}

#[test]
fn a_container_that_is_removed_behind_the_agents_back_comes_back() {
    let Some(engine) = Engine::shared() else { return };
    let (fleet, first, before) = Fleet::settled(&engine);
    engine.remove_container(&before[0].id);
    wait_within(Duration::from_secs(10), "the removed container to be made again (events wake the agent)", || {
        let now = engine.containers(&fleet.app);
        check(now.iter().any(|c| c.service == "db" && c.running && c.id != before[0].id), format!("{} there", now.len()))
    });
    engine.wait_running(&fleet.app, &first.commit, &SERVICES);
}
