//! An agent that is killed in the middle of what it was asked to do.

use serde_json::json;

use super::{ALL, content, no_locks, none_shared, settled, write};
use crate::support::{Engine, Site, request};

/// Kills the agent as soon as the engine shows what `until` waits for, while a client waits for its answer. The moment may
/// be missed on a busy machine: then the same is tried once more.
fn killed_in_the_middle(site: &mut Site<'_>, path: &str, until: impl Fn() -> bool) {
    for _ in 0..20 {
        if kill(site, path, &until) {
            return;
        }
        site.device.start();
        site.device.wait_status(&["settled"]);
    }
    panic!("the moment never came");
}

fn kill(site: &mut Site<'_>, path: &str, until: &impl Fn() -> bool) -> bool {
    let (socket, body) = (site.device.path("agent.sock"), json!({ "appId": site.app.id }).to_string());
    let path = path.to_owned();
    let client = std::thread::spawn(move || {
        let headers = [("Content-Type", "application/json")];
        request(&socket, "POST", &path, &headers, body.as_bytes(), std::time::Duration::from_secs(120))
    });
    let begin = std::time::Instant::now();
    while !until() && !client.is_finished() && begin.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    site.device.kill();
    // Nobody said that it was done.
    client.join().unwrap().is_err()
}

#[test]
fn a_purge_that_is_killed_in_the_middle_is_ended_by_the_next_run() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, before) = settled(&engine);
    let volume = site.app.volume("data");
    // One container is gone, the data are there still.
    let app = site.app.clone();
    killed_in_the_middle(&mut site, "/v1/purge", || engine.containers(&app).len() < 2);
    site.device.start();
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    none_shared(&before, &after);
    assert_eq!(content(&engine, &after), "", "half a purge would have left it");
    no_locks(&site);
    assert!(site.device.log().contains("the purge that was under way when the agent ended goes on"), "{}", site.device.log());
    // The volume is gone and nothing is made anew yet.
    write(&engine, &after, "again");
    killed_in_the_middle(&mut site, "/v1/purge", || engine.volumes(&volume).is_empty());
    site.device.start();
    let last = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(content(&engine, &last), "");
    write(&engine, &last, "kept");
    // And only once: the next start purges nothing.
    site.device.wait_status(&["settled"]);
    site.device.kill();
    site.device.start();
    site.device.wait_status(&["settled"]);
    assert_eq!(content(&engine, &engine.containers(&site.app)), "kept");
}

#[test]
fn a_restart_that_is_killed_in_the_middle_brings_everything_back() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, _) = settled(&engine);
    for left in [1, 0] {
        let app = site.app.clone();
        killed_in_the_middle(&mut site, "/v1/restart", || engine.containers(&app).len() <= left);
        site.device.start();
        let after = engine.wait_running(&site.app, &first.commit, &ALL);
        assert_eq!(content(&engine, &after), "precious");
        site.device.wait_status(&["settled"]);
        no_locks(&site);
    }
}
