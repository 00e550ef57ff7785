//! Taking over from balena-supervisor: what it made for the same release stays as it is, and while it runs nobody else acts.
// needs: engine

use std::time::Duration;

use crate::support::{
    API_KEY, Balena, Engine, History, Role, balena_database, balena_release, check, content, ids, inventory, stored, unscoped,
    wait_for,
};
use serde_json::{Value, json};

#[test]
fn what_balena_supervisor_made_stays_as_it_is() {
    let Some(engine) = Engine::own() else { return };
    let images = [engine.image(Role::Sleeps, "main"), engine.image(Role::Sleeps, "other")];
    let mut site = unscoped(&engine);
    let release = balena_release("first", &images[0], &images[1]);
    Balena { site: &site, release: &release }.install(&images[0], &images[1]);
    let before = inventory(&site);

    let history = History::of(&engine);
    site.want(&release);
    site.join();
    site.wait_settled(&release);
    site.cloud.wait_polls(2);
    assert_eq!(inventory(&site), before);
    let of_containers = history.about(&["container "]);
    let touched: Vec<&String> =
        of_containers.iter().filter(|event| !event.contains(" exec_") && !event.contains("health_status")).collect();
    assert!(touched.is_empty(), "{touched:?}");
    let shown = site.device.command(&["plan"]);
    assert!(shown.stdout.contains("Nothing to do"), "{shown:?}");

    // From here on they are the agent's own: the next release replaces what it changes, and old images go.
    let next = engine.image(Role::Sleeps, "main 2");
    let second = balena_release("second", &next, &images[1]);
    let other = engine.service(&site.app, "other").id;
    let after = site.update(&second);
    assert_eq!(after[1].id, other);
    assert_eq!(after[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY), "the key stays valid");
    wait_for("the old image to go", || check(!engine.has_image(&images[0]), "it is there"));
}

#[test]
fn beside_a_running_balena_supervisor_it_only_watches_and_then_takes_over() {
    let Some(engine) = Engine::own() else { return };
    let images = [engine.image(Role::Sleeps, "main"), engine.image(Role::Sleeps, "other")];
    let mut site = unscoped(&engine);
    let first = balena_release("first", &images[0], &images[1]);
    Balena { site: &site, release: &first }.install(&images[0], &images[1]);
    let supervisor = json!({ "Image": images[1], "Tty": true });
    engine.call("POST", "/containers/create?name=balena_supervisor", &supervisor);
    engine.call("POST", "/containers/balena_supervisor/start", &Value::Null);
    let before = inventory(&site);

    // Even with another release as its target.
    let image = engine.image(Role::Sleeps, "main 2");
    let second = balena_release("second", &image, &images[1]);
    site.want(&second);
    site.join();
    let status = site.device.wait_status(&["watch-only", "balena_supervisor"]);
    assert!(status.contains("stop and disable it"), "{status}");
    site.cloud.wait_polls(2);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(inventory(&site), before);
    assert!(!engine.has_image(&image));

    // Once it is stopped the agent goes on by itself, from what is there.
    let kept = engine.service(&site.app, "other").id;
    engine.call("POST", "/containers/balena_supervisor/stop", &Value::Null);
    let after = site.wait_settled(&second);
    assert_eq!(ids(&after)[1], kept);
    assert_eq!(after[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY));
}

/// With containers made the way balena-supervisor makes them.
#[test]
fn a_device_changes_agents_and_its_containers_do_not_notice() {
    let Some(engine) = Engine::own() else { return };
    let images = [engine.image(Role::Sleeps, "main"), engine.image(Role::Sleeps, "other")];
    let mut site = unscoped(&engine);
    let release = balena_release("first", &images[0], &images[1]);
    Balena { site: &site, release: &release }.install(&images[0], &images[1]);
    let file = balena_database(&site.device, &site.cloud, &site.app, &release);
    let (before, original) = (inventory(&site), content(file.parent().unwrap()));

    // First without the cloud: what the database says is all there is.
    site.cloud.go_away();
    site.join();
    site.device.wait_status(&["\"poll_error\":\""]);
    wait_for("nothing to be left to do", || {
        let plan = site.device.command(&["plan"]);
        check(plan.stdout.contains("Nothing to do"), plan.stdout)
    });
    assert!(site.device.log().contains("1 settled release(s)"), "the target was the imported one");
    assert_eq!(inventory(&site), before, "without the cloud");

    site.want(&release);
    site.cloud.heal();
    let after = site.wait_settled(&release);
    site.cloud.wait_polls(2);
    let answered = site.cloud.polls().into_iter().find(|poll| poll.status != 0).expect("a poll");
    assert_eq!((answered.if_none_match, answered.status), (None, 200), "the first poll asks for a whole body");
    assert_eq!(inventory(&site), before, "with the cloud");
    assert_eq!(content(file.parent().unwrap()), original);

    // The key its containers carry is the one that is stored, and a container made by this agent gets it too.
    assert_eq!(after[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY));
    site.device.stop();
    assert_eq!(stored(&site.device, "SELECT key FROM api_key WHERE service = 'main'"), [API_KEY]);
    site.device.start();
    let next = engine.image(Role::Sleeps, "main 2");
    let later = site.update(&balena_release("second", &next, &images[1]));
    assert_eq!(later[0].variable("BALENA_SUPERVISOR_API_KEY"), Some(API_KEY));
}
