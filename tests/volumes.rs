//! Volumes on a real engine: never replaced or removed in haste, and what is in them stays.
// needs: engine

use std::time::Duration;

use crate::support::{Container, Engine, Release, Role, Service, Site, check, ids, wait_for};
use serde_json::{Value, json};

const DATA: &str = "/data/file";

fn release(name: &str, image: &str, volume: Value) -> Release {
    Release::new(name).service("main", Service::new(image).mount("data:/data")).volume_with("data", volume)
}

/// A device whose volume holds something.
fn with_data<'e>(engine: &'e Engine, image: &str) -> (Site<'e>, Release, Vec<Container>) {
    let first = release("first", image, json!({}));
    let (site, containers) = Site::settled(engine, &first);
    engine.exec_ok(&containers[0].id, &["sh", "-c", &format!("echo precious > {DATA}")]);
    (site, first, containers)
}

fn volume(site: &Site<'_>) -> Value {
    site.engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json()
}

#[test]
fn a_changed_definition_waits_until_it_is_forced() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let (site, first, before) = with_data(&engine, &image);
    let made = volume(&site)["CreatedAt"].clone();

    let second = release("second", &engine.image(Role::Sleeps, "2"), json!({ "labels": { "tier": "gold" } }));
    site.want(&second);
    let why = site.wait_reason("volume-would-lose-data");
    assert!(why.contains(&site.app.volume("data")) && why.contains("labels") && why.contains("lose its data"), "{why}");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ids(&engine.wait_running(&site.app, &first.commit, &["main"])), ids(&before), "the old release goes on");
    assert_eq!(engine.exec_ok(&before[0].id, &["cat", DATA]), "precious\n");
    let shown = site.device.command(&["plan"]);
    assert!(shown.code == 0 && shown.stdout.contains("lose its data"), "{shown:?}");

    // Taken back, nothing has happened.
    let third = release("third", &image, json!({}));
    let after = site.update(&third);
    assert_eq!((ids(&after), volume(&site)["CreatedAt"].clone()), (ids(&before), made));
    assert!(site.waits().is_empty(), "{:?}", site.waits());

    // Whoever forces it has decided.
    site.want(&second);
    site.wait_reason("volume-would-lose-data");
    assert_eq!(site.device.command(&["update", "--force"]).code, 0);
    let after = site.wait_settled(&second);
    assert_eq!(volume(&site)["Labels"]["tier"], "gold");
    assert_ne!(engine.exec(&after[0].id, &["cat", DATA]).0, 0, "a new volume is empty");
}

#[test]
fn the_override_variable_for_locks_does_not_replace_a_volume() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let (site, _, before) = with_data(&engine, &image);
    let second = release("second", &image, json!({ "labels": { "tier": "gold" } }));
    site.want_with(&second, &[("BALENA_SUPERVISOR_OVERRIDE_LOCK", "1")]);
    site.wait_reason("volume-would-lose-data");
    site.cloud.wait_polls(2);
    assert_eq!(engine.exec_ok(&before[0].id, &["cat", DATA]), "precious\n");
}

#[test]
fn volumes_of_a_departed_app_are_kept_for_the_grace_period() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let (mut site, first, _) = with_data(&engine, &image);
    let depart = |site: &Site<'_>| {
        site.cloud.want(&[]);
        wait_for("the containers to go", || check(engine.containers(&site.app).is_empty(), "they are there"));
    };
    depart(&site);
    let why = site.wait_reason("kept-for-grace");
    assert!(why.contains("grace period"), "{why}");
    site.device.kill();
    site.device.start();
    site.wait_reason("kept-for-grace");
    assert_eq!(engine.volumes(&site.app.volume("")), [site.app.volume("data")]);

    // The app comes back to its data.
    let back = site.update(&first);
    assert_eq!(engine.exec_ok(&back[0].id, &["cat", DATA]), "precious\n");
    assert!(site.waits().is_empty(), "{:?}", site.waits());

    // And without a grace period its volume goes with it.
    depart(&site);
    site.device.stop();
    site.device.set("HOLDFAST_VOLUME_GRACE", "0");
    site.device.start();
    wait_for("the volume to go", || check(engine.volumes(&site.app.volume("")).is_empty(), "it is there"));
}

#[test]
fn a_volume_that_no_service_mounts_any_more_is_kept() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let (site, first, _) = with_data(&engine, &image);
    site.update(&Release::new("second").service("main", Service::new(&image)));
    let back = site.update(&first);
    assert_eq!(engine.exec_ok(&back[0].id, &["cat", DATA]), "precious\n");
}
