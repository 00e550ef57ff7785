//! The update strategies on a real engine: what happens in which order, and what a hand-over waits for.
// needs: engine

use std::time::{Duration, Instant};

use crate::support::{Container, Engine, History, Release, Role, Service, Site, check, ids, wait_for};

const STRATEGY: &str = "io.balena.update.strategy";
const MARKER: &str = "/tmp/balena/handover-complete";

/// A release with one service of a strategy.
fn release(name: &str, image: &str, strategy: &str) -> Release {
    Release::new(name).service("main", Service::new(image).label(STRATEGY, strategy))
}

/// The containers of `main`: the one that hands over, if any, and the newer one.
fn pair(site: &Site<'_>) -> Result<(Container, Container), String> {
    let mut all = site.engine.containers(&site.app);
    all.sort_by_key(|container| !container.name.starts_with("old_"));
    let shown = || all.iter().map(|c| format!("{} running={}", c.name, c.running)).collect::<Vec<_>>().join(", ");
    match &all[..] {
        [old, new] if old.name.starts_with("old_") && old.running && new.running => Ok((old.clone(), new.clone())),
        _ => Err(shown()),
    }
}

#[test]
fn download_then_kill_stops_nothing_before_every_image_is_there() {
    let Some(engine) = Engine::shared() else { return };
    let images = [engine.image(Role::Sleeps, "a 1"), engine.image(Role::Sleeps, "b 1")];
    let two = |name: &str, a: &str, b: &str| Release::new(name).service("a", Service::new(a)).service("b", Service::new(b));
    let first = two("first", &images[0], &images[1]);
    let (site, before) = Site::settled(&engine, &first);

    // The new image of `a` can be had, that of `b` cannot.
    let a = engine.image(Role::Sleeps, "a 2");
    let history = History::of(&engine);
    site.want(&two("second", &a, &engine.missing_image()));
    wait_for("the image that can be had", || check(engine.has_image(&a), "not there"));
    site.device.wait_status(&["not found"]);
    assert_eq!(ids(&engine.wait_running(&site.app, &first.commit, &["a", "b"])), ids(&before), "both still run");

    let third = two("third", &a, &engine.image(Role::Sleeps, "b 3"));
    site.update(&third);
    history.assert_order(&[
        &format!("image pull {a}"),
        &format!("container die {}", first.container_name("a")),
        &format!("container destroy {}", first.container_name("a")),
        &format!("container create {}", third.container_name("a")),
        &format!("container start {}", third.container_name("a")),
    ]);
}

#[test]
fn kill_then_download_stops_before_the_download() {
    let Some(engine) = Engine::shared() else { return };
    let first = release("first", &engine.image(Role::Sleeps, "1"), "kill-then-download");
    let (site, before) = Site::settled(&engine, &first);

    // It needs the lock like any other strategy.
    engine.exec_ok(&before[0].id, &["touch", "/tmp/balena/updates.lock"]);
    let missing = engine.missing_image();
    site.want(&release("second", &missing, "kill-then-download"));
    site.wait_reason("waiting-for-lock");
    assert_eq!(engine.service(&site.app, "main").id, before[0].id);
    engine.exec_ok(&before[0].id, &["rm", "/tmp/balena/updates.lock"]);
    site.device.wait_status(&["not found"]);
    assert!(engine.containers(&site.app).is_empty(), "the old container went before the download");

    let image = engine.image(Role::Sleeps, "3");
    let third = release("third", &image, "kill-then-download");
    let history = History::of(&engine);
    let third_containers = site.update(&third);
    let fourth = release("fourth", &engine.image(Role::Sleeps, "4"), "kill-then-download");
    site.update(&fourth);
    let name = &third_containers[0].name;
    let all = history.about(&["image pull", name, &fourth.container_name("main")]);
    let at = |event: &str| all.iter().position(|one| one.starts_with(event)).unwrap_or_else(|| panic!("{event} in {all:#?}"));
    let pulls: Vec<usize> = (0..all.len()).filter(|i| all[*i].starts_with("image pull")).collect();
    assert!(at(&format!("container destroy {name}")) < *pulls.last().unwrap(), "{all:#?}");
}

#[test]
fn delete_then_download_removes_the_old_image_before_the_download() {
    let Some(engine) = Engine::shared() else { return };
    let old = engine.image(Role::Sleeps, "1");
    let first = release("first", &old, "delete-then-download");
    let (site, _) = Site::settled(&engine, &first);

    let new = engine.image(Role::Sleeps, "2");
    let history = History::of(&engine);
    let second = release("second", &new, "delete-then-download");
    site.update(&second);
    assert!(!engine.has_image(&old));
    history.assert_order(&[
        &format!("container die {}", first.container_name("main")),
        &format!("container destroy {}", first.container_name("main")),
    ]);
    let all = history.about(&["image "]);
    let gone = all.iter().position(|event| event.starts_with("image untag") || event.starts_with("image delete"));
    let pulled = all.iter().position(|event| *event == format!("image pull {new}"));
    assert!(gone.is_some() && gone < pulled, "the old image goes first: {all:#?}");
}

#[test]
fn hand_over_lets_both_run_until_the_new_container_says_so() {
    let Some(engine) = Engine::shared() else { return };
    let first = release("first", &engine.image(Role::Sleeps, "1"), "hand-over");
    let (site, before) = Site::settled(&engine, &first);
    // A marker of earlier times does not count, and a lock does not hold a hand-over back: nothing is stopped yet.
    engine.exec_ok(&before[0].id, &["touch", MARKER, "/tmp/balena/updates.lock"]);

    let second = release("second", &engine.image(Role::Sleeps, "2"), "hand-over");
    site.want(&second);
    let (old, new) = wait_for("both to run side by side", || pair(&site));
    assert_eq!(old.id, before[0].id, "the old container was renamed, not replaced");
    assert_eq!(old.name, format!("old_{}", first.container_name("main")));
    assert_eq!(new.name, second.container_name("main"));
    assert_eq!(old.inspect["HostConfig"]["RestartPolicy"]["Name"], "no", "a crash must not bring it back");
    site.wait_reason("waiting-for-hand-over");
    std::thread::sleep(Duration::from_secs(2));
    pair(&site).expect("nothing but the marker or the time-out ends it");
    assert_ne!(site.reported()["release_uuid"], second.commit.as_str(), "it is not settled yet");

    engine.exec_ok(&new.id, &["touch", MARKER]);
    let after = site.wait_settled(&second);
    assert_eq!(after[0].id, new.id);
}

#[test]
fn hand_over_ends_by_its_timeout() {
    let Some(engine) = Engine::shared() else { return };
    let timed = |name: &str, variant: &str| {
        let service = Service::new(&engine.image(Role::Sleeps, variant)).label(STRATEGY, "hand-over");
        Release::new(name).service("main", service.label("io.balena.update.handover-timeout", "3000"))
    };
    let (site, _) = Site::settled(&engine, &timed("first", "1"));
    let second = timed("second", "2");
    site.want(&second);
    let (_, new) = wait_for("both to run side by side", || pair(&site));
    let begun = Instant::now();
    let after = site.wait_settled(&second);
    assert_eq!(after[0].id, new.id);
    assert!(begun.elapsed() > Duration::from_millis(1_500), "it waited: {:?}", begun.elapsed());
}

#[test]
fn hand_over_survives_the_death_of_the_agent() {
    let Some(engine) = Engine::shared() else { return };
    let first = release("first", &engine.image(Role::Sleeps, "1"), "hand-over");
    let (mut site, before) = Site::settled(&engine, &first);

    // While both run: the hand-over goes on.
    let second = release("second", &engine.image(Role::Sleeps, "2"), "hand-over");
    site.want(&second);
    let (_, new) = wait_for("both to run side by side", || pair(&site));
    site.device.kill();
    site.device.start();
    site.wait_reason("waiting-for-hand-over");
    let (old, still) = pair(&site).expect("both still run");
    assert_eq!((old.id.as_str(), still.id.as_str()), (before[0].id.as_str(), new.id.as_str()));
    engine.exec_ok(&new.id, &["touch", MARKER]);
    let after = site.wait_settled(&second);
    assert_eq!(after[0].id, new.id);

    // Dead in the middle of it, with the old container renamed and the new one not made: it is begun again from there.
    let third = release("third", &engine.image(Role::Sleeps, "3"), "hand-over");
    site.device.kill();
    let renamed = format!("/containers/{}/rename?name=old_{}", new.id, new.name);
    engine.call("POST", &renamed, &serde_json::Value::Null);
    site.want(&third);
    site.device.start();
    let (old, newest) = wait_for("both to run side by side", || pair(&site));
    assert_eq!(old.id, new.id);
    engine.exec_ok(&newest.id, &["touch", MARKER]);
    assert_eq!(site.wait_settled(&third)[0].id, newest.id);
}
