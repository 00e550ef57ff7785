//! The health gate on a real engine: a release that does not prove itself is undone.
// needs: engine

use std::time::Duration;

use crate::support::{Container, Engine, Release, Role, Service, Site, check, ids, wait_for};
use serde_json::json;

const LABEL: &str = "io.balena.update.health-timeout";
const DATA: &str = "/data/file";

/// `main` with a volume, and `side`, which is the same in every release.
fn release(name: &str, main: Service, side: &str) -> Release {
    Release::new(name).service("main", main.mount("data:/data")).service("side", Service::new(side)).volume("data")
}

/// A device that runs a first release of these two, with something in the volume.
fn first(engine: &Engine) -> (Site<'_>, Release, Vec<Container>, [String; 2]) {
    let images = [engine.image(Role::Sleeps, "main 1"), engine.image(Role::Sleeps, "side")];
    let first = release("first", Service::new(&images[0]), &images[1]);
    let (site, containers) = Site::settled(engine, &first);
    engine.exec_ok(&containers[0].id, &["sh", "-c", &format!("echo precious > {DATA}")]);
    (site, first, containers, images)
}

/// Waits until a release was undone: the one before it runs again, and the report and the status say so.
fn wait_undone(site: &Site<'_>, undone: &Release, restored: &Release) -> Vec<Container> {
    site.wait_reported(undone, "rejected");
    let containers = site.engine.wait_running(&site.app, &restored.commit, &restored.services());
    assert_eq!(site.reported()["release_uuid"], restored.commit.as_str());
    assert_eq!(site.engine.exec_ok(&containers[0].id, &["cat", DATA]), "precious\n");
    containers
}

#[test]
fn a_release_settles_once_it_is_healthy() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _, before, images) = first(&engine);
    // Healthy as soon as a file is there; `side` has no check and runs long enough already.
    let by_file = json!({ "test": "test -e /tmp/well", "interval": "1s", "retries": 100 });
    let main = Service::new(&engine.image(Role::Sleeps, "main 2")).label(LABEL, "20000").field("healthcheck", by_file);
    let second = release("second", main, &images[1]);
    site.want(&second);
    site.device.wait_status(&["waiting-for-health", "main is not yet healthy"]);
    assert_ne!(site.reported()["release_uuid"], second.commit.as_str(), "on trial is not settled");
    assert!(engine.has_image(&images[0]), "the way back is kept during the trial");

    let main = engine.service(&site.app, "main");
    engine.exec_ok(&main.id, &["touch", "/tmp/well"]);
    let after = site.wait_settled(&second);
    assert_eq!(ids(&after), [main.id.as_str(), before[1].id.as_str()]);
    wait_for("the superseded image to go", || check(!engine.has_image(&images[0]), "it is there"));
}

#[test]
fn an_unhealthy_release_is_undone_and_stays_so_until_the_target_changes() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, before, images) = first(&engine);
    let sick = engine.image(Role::SleepsUnhealthy, "main 2");
    let second = release("second", Service::new(&sick).label(LABEL, "5000"), &images[1]);
    site.want(&second);
    let restored = wait_undone(&site, &second, &first);
    assert_ne!(restored[0].id, before[0].id);
    assert_eq!(restored[1].id, before[1].id, "what did not change was not touched");
    let why = site.wait_reason("rejected");
    assert!(why.contains("main was unhealthy") && why.contains(&second.commit), "{why}");
    let shown = site.device.command(&["status"]);
    // Lines are folded to the terminal's width.
    let words = shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.code == 0 && words.contains("main was unhealthy"), "{shown:?}");

    // Neither time nor polls nor a restart bring it back.
    site.cloud.wait_polls(2);
    site.device.kill();
    site.device.start();
    site.wait_reason("rejected");
    assert_eq!(ids(&engine.wait_running(&site.app, &first.commit, &first.services())), ids(&restored));

    let third = release("third", Service::new(&engine.image(Role::SleepsHealthy, "main 3")).label(LABEL, "20000"), &images[1]);
    site.update(&third);
    assert!(site.waits().is_empty(), "{:?}", site.waits());
}

#[test]
fn a_service_that_keeps_ending_is_undone_by_the_device_variable() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, _, images) = first(&engine);
    let second = release("second", Service::new(&engine.image(Role::Ends, "main 2")), &images[1]);
    site.want_with(&second, &[("BALENA_HOLDFAST_HEALTH_TIMEOUT", "5000")]);
    wait_undone(&site, &second, &first);
    let why = site.wait_reason("rejected");
    assert!(why.contains("main was"), "{why}");
    // Without the gate it would be left alone, as balena leaves it.
    site.want(&release("third", Service::new(&engine.image(Role::Ends, "main 3")), &images[1]));
    wait_for("the third release to be tried", || {
        let restarts = engine.containers(&site.app).iter().map(|c| c.inspect["RestartCount"].as_u64()).max().flatten();
        check(restarts > Some(1), format!("{restarts:?}"))
    });
}

#[test]
fn the_way_back_is_pulled_again_where_it_was_deleted_first() {
    let Some(engine) = Engine::shared() else { return };
    let old = engine.image(Role::Sleeps, "main 1");
    let side = engine.image(Role::Sleeps, "side");
    let deleting = |name: &str, image: &str| {
        release(name, Service::new(image).label("io.balena.update.strategy", "delete-then-download").label(LABEL, "5000"), &side)
    };
    let first = deleting("first", &old);
    let (site, before) = Site::settled(&engine, &first);
    engine.exec_ok(&before[0].id, &["sh", "-c", &format!("echo precious > {DATA}")]);
    let second = deleting("second", &engine.image(Role::SleepsUnhealthy, "main 2"));
    site.want(&second);
    wait_for("the old image to go", || check(!engine.has_image(&old), "it is there"));
    wait_undone(&site, &second, &first);
    assert!(engine.has_image(&old));
    std::thread::sleep(Duration::from_secs(1));
    site.wait_reason("rejected");
}
