//! What can be done to an app through the local API, on a real engine: restart, purge, stop, start; the locks they ask, and
//! what is left when the agent is killed in the middle.
// needs: engine

mod device;
mod killed;

use std::path::PathBuf;

use crate::support::{App, Container, Engine, Release, Role, Service, Site, check, device_target, ids, wait_for};
use serde_json::{Value, json};

const ALL: [&str; 2] = ["db", "web"];

/// `db` mounts a volume, `web` does not.
fn release(name: &str, image: &str) -> Release {
    let db = Service::new(image).mount("data:/data");
    Release::new(name).service("db", db).service("web", Service::new(image)).volume("data")
}

fn settled(engine: &Engine) -> (Site<'_>, Release, Vec<Container>) {
    let release = release("first", &engine.image(Role::Sleeps, "1"));
    let (site, containers) = Site::settled(engine, &release);
    write(engine, &containers, "precious");
    (site, release, containers)
}

fn write(engine: &Engine, containers: &[Container], text: &str) {
    engine.exec_ok(&containers[0].id, &["sh", "-c", &format!("echo {text} > /data/file")]);
}

/// What is in the volume.
fn content(engine: &Engine, containers: &[Container]) -> String {
    engine.exec_ok(&containers[0].id, &["sh", "-c", "cat /data/file 2>/dev/null || true"]).trim().to_owned()
}

fn created(engine: &Engine, volume: &str) -> Value {
    engine.call("GET", &format!("/volumes/{volume}"), &Value::Null).json()["CreatedAt"].clone()
}

fn lock(site: &Site<'_>, service: &str) -> PathBuf {
    let folder = site.device.lock_dir(&site.app, service);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("updates.lock");
    std::fs::write(&file, "").unwrap();
    file
}

fn no_locks(site: &Site<'_>) {
    wait_for("the locks to be given back", || {
        let locks = site.device.get("/v3/locks").json()["locks"].clone();
        check(locks == json!([]), &locks)
    });
}

fn post(site: &Site<'_>, path: &str, body: &Value) -> (u16, String) {
    let answer = site.device.post(path, body);
    (answer.status, answer.text())
}

fn none_shared(one: &[Container], other: &[Container]) {
    let (one, other) = (ids(one), ids(other));
    assert!(one.iter().all(|id| !other.contains(id)), "{one:?} {other:?}");
}

#[test]
fn a_restart_makes_containers_anew_and_keeps_everything_else() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let image = |containers: &[Container]| containers[0].inspect["Image"].clone();
    let kept = (image(&before), created(&engine, &site.app.volume("data")));
    assert_eq!(post(&site, "/v1/restart", &json!({ "appId": site.app.id })), (200, "OK".into()));
    let after = engine.containers(&site.app);
    assert!(after.len() == 2 && after.iter().all(|container| container.running), "done means done: {after:?}");
    none_shared(&before, &after);
    assert_eq!((content(&engine, &after), created(&engine, &site.app.volume("data"))), ("precious".into(), kept.1));
    assert_eq!(image(&after), kept.0);
    no_locks(&site);
    // The second path, and one service alone.
    let path = format!("/v2/applications/{}", site.app.id);
    assert_eq!(post(&site, &format!("{path}/restart"), &Value::Null), (200, "OK".into()));
    let third = engine.wait_running(&site.app, &first.commit, &ALL);
    none_shared(&after, &third);
    assert_eq!(post(&site, &format!("{path}/restart-service"), &json!({ "serviceName": "web" })), (200, "OK".into()));
    let fourth = engine.wait_running(&site.app, &first.commit, &ALL);
    assert!(fourth[0].id == third[0].id && fourth[1].id != third[1].id, "web alone");
    assert!(site.device.log().contains("restart asked for by the local API"));
}

#[test]
fn a_purge_empties_the_volumes_of_that_app_only() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let (other, beside) = (App::new(), Release::new("beside").volume("data"));
    let beside = beside.service("only", Service::new(&engine.image(Role::Sleeps, "1")).mount("data:/data"));
    site.cloud.set_target(device_target(&[(&site.app, &first), (&other, &beside)], &[]));
    site.cloud.wait_settled(&other, &beside);
    let its = engine.wait_running(&other, &beside.commit, &["only"]);
    write(&engine, &its, "theirs");

    let purged = site.device.command(&["app", "purge", "--app", &site.app.id.to_string()]);
    assert_eq!(purged.code, 0, "{purged:?}");
    assert!(purged.stdout.contains("purge done"), "{purged:?}");
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    none_shared(&before, &after);
    assert_eq!(content(&engine, &after), "");
    assert_eq!(content(&engine, &its), "theirs");
    assert_eq!(ids(&engine.containers(&other)), ids(&its));
    write(&engine, &after, "new");
    let answer = post(&site, "/v1/purge", &json!({ "appId": site.app.id.to_string() }));
    assert_eq!((answer.0, serde_json::from_str::<Value>(&answer.1).unwrap()), (200, json!({ "Data": "OK", "Error": "" })));
    let again = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(content(&engine, &again), "");
    no_locks(&site);
    for container in engine.containers(&other) {
        engine.remove_container(&container.id);
    }
}

#[test]
fn a_stopped_service_stays_so_until_it_is_started_or_its_release_changes() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, before) = settled(&engine);
    let path = format!("/v2/applications/{}", site.app.id);
    assert_eq!(post(&site, &format!("{path}/stop-service"), &json!({ "serviceName": "web" })), (200, "OK".into()));
    let stopped = |engine: &Engine, site: &Site<'_>| {
        let web = engine.service(&site.app, "web");
        assert!(!web.running && web.id == before[1].id, "{web:?}");
    };
    stopped(&engine, &site);
    no_locks(&site);
    // Neither a look nor another run of the agent starts it.
    assert_eq!(site.device.command(&["update"]).code, 0);
    site.device.kill();
    site.device.start();
    site.device.wait_status(&["settled"]);
    stopped(&engine, &site);
    // An application's lock does not keep it from being started.
    let held = lock(&site, "web");
    let started = site.device.command(&["service", "start", "web", "--json"]);
    assert_eq!((started.code, serde_json::from_str::<Value>(&started.stdout).unwrap()["status"].clone()), (0, json!("done")));
    assert!(engine.service(&site.app, "web").running);
    std::fs::remove_file(held).unwrap();
    assert_eq!(site.device.command(&["service", "stop", "web"]).code, 0);
    stopped(&engine, &site);
    let listed = site.device.command(&["service", "list"]);
    assert!(listed.code == 0 && listed.stdout.contains("web") && listed.stdout.contains("db"), "{listed:?}");
    let second = release("second", &engine.image(Role::Sleeps, "2"));
    site.update(&second);
    site.update(&first);
}

#[test]
fn a_held_lock_refuses_unless_it_is_broken() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    let file = lock(&site, "web");
    let v2 = format!("/v2/applications/{}", site.app.id);
    let message = format!("Lockfile exists for {{ appId: {}, service: web }}", site.app.id);
    for (path, body) in [
        ("/v1/restart".to_owned(), json!({ "appId": site.app.id })),
        ("/v1/purge".to_owned(), json!({ "appId": site.app.id })),
        (format!("{v2}/restart"), json!({})),
        (format!("{v2}/purge"), json!({})),
        (format!("{v2}/restart-service"), json!({ "serviceName": "db" })),
        (format!("{v2}/stop-service"), json!({ "serviceName": "web" })),
    ] {
        let answer = site.device.post(&path, &body);
        assert_eq!((answer.status, answer.json()), (423, json!({ "status": "failed", "message": message })), "{path}");
    }
    let refused = site.device.command(&["app", "purge"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("--force") && refused.stderr.contains("lock list"), "{refused:?}");
    let untouched = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!((ids(&untouched), content(&engine, &untouched)), (ids(&before), "precious".into()));
    assert!(file.exists());

    let forced = site.device.command(&["app", "restart", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    none_shared(&before, &engine.wait_running(&site.app, &first.commit, &ALL));
    assert!(!file.exists() && site.device.log().contains("restart asked for by the command line with force"));
    lock(&site, "db");
    assert_eq!(post(&site, &format!("{v2}/stop-service"), &json!({ "serviceName": "db", "force": "on" })), (200, "OK".into()));
    assert!(!engine.service(&site.app, "db").running);
}

#[test]
fn during_a_download_the_running_release_is_restarted() {
    let Some(engine) = Engine::shared() else { return };
    let (site, first, before) = settled(&engine);
    // An image that nobody has: the update waits for ever.
    let missing = release("second", &format!("{}x", engine.image(Role::Sleeps, "1").split('@').next().unwrap()));
    site.want(&missing);
    site.device.wait_status(&["waiting-for-images"]);
    assert_eq!(post(&site, "/v1/restart", &json!({ "appId": site.app.id })), (200, "OK".into()));
    let after = engine.wait_running(&site.app, &first.commit, &ALL);
    none_shared(&before, &after);
    assert_eq!(content(&engine, &after), "precious");
    no_locks(&site);
}

#[test]
fn a_volume_with_a_new_definition_waits_for_a_purge() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _, _) = settled(&engine);
    let image = engine.image(Role::Sleeps, "1");
    let shaped = Release::new("shaped")
        .service("db", Service::new(&image).mount("data:/data"))
        .service("web", Service::new(&image))
        .volume_with("data", json!({ "labels": { "shape": "new" } }));
    site.want(&shaped);
    assert!(site.wait_reason("volume-would-lose-data").contains("purged"));
    assert_eq!(post(&site, "/v1/purge", &json!({ "appId": site.app.id })).0, 200);
    let after = site.wait_settled(&shaped);
    assert_eq!(content(&engine, &after), "");
    let volume = engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json();
    assert_eq!(volume["Labels"]["shape"], "new");
}

#[test]
fn an_app_of_one_container_has_paths_of_its_own() {
    let Some(engine) = Engine::shared() else { return };
    let image = engine.image(Role::Sleeps, "1");
    let only =
        Release::new("only").service("main", Service::new(&image).variable("COLOUR", "red").variable("BALENA_API_KEY", "secret"));
    let (site, before) = Site::settled(&engine, &only);
    let path = format!("/v1/apps/{}", site.app.id);
    let shown = site.device.get(&path).json();
    assert_eq!((&shown["containerId"], &shown["env"]["COLOUR"]), (&json!(before[0].id), &json!("red")));
    assert_eq!((&shown["commit"], &shown["appId"]), (&json!(only.commit), &json!(site.app.id)));
    assert!(!shown.to_string().contains("secret") && shown["imageId"].as_str().unwrap().starts_with("sha256:"), "{shown}");
    let stopped = site.device.post(&format!("{path}/stop"), &Value::Null);
    assert_eq!((stopped.status, stopped.json()), (200, json!({ "containerId": before[0].id })));
    assert!(!engine.service(&site.app, "main").running);
    assert_eq!(site.device.post(&format!("{path}/start"), &Value::Null).json(), json!({ "containerId": before[0].id }));
    assert!(engine.service(&site.app, "main").running);
    let ids = site.device.get("/v2/containerId").json();
    assert_eq!(ids, json!({ "status": "success", "services": { "main": before[0].id } }));
    assert_eq!(site.device.get("/v2/containerId?serviceName=main").json()["containerId"], json!(before[0].id));
    let none = site.device.get("/v2/containerId?service=none");
    assert_eq!((none.status, none.json()["message"].clone()), (503, json!("Could not find service with that name")));
    // The loop shows it as running from its next look at the engine on.
    wait_for("the state to say what runs", || {
        let state = site.device.get(&format!("/v2/applications/{}/state", site.app.id)).json();
        let services = state["local"][site.app.id.to_string()]["services"].as_object().cloned().unwrap_or_default();
        let runs = services.values().next().is_some_and(|service| service["status"] == "Running");
        check(state["commit"] == only.commit.as_str() && runs, state)
    });
}

#[test]
fn what_cannot_be_done_is_refused_in_the_protocols_words() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _, before) = settled(&engine);
    let id = site.app.id;
    for (path, body, status, words) in [
        ("/v1/restart".to_owned(), json!({}), 400, "Missing app id"),
        ("/v1/restart".to_owned(), json!({ "appId": 1 }), 503, "not installed"),
        ("/v1/purge".to_owned(), json!({ "appId": "x" }), 400, "Invalid or missing appId"),
        ("/v1/purge".to_owned(), json!({ "appId": 1 }), 503, "not installed"),
        ("/v1/apps/x/stop".to_owned(), json!({}), 400, "Invalid app id"),
        ("/v1/apps/1/start".to_owned(), json!({}), 400, "App not found"),
        (format!("/v1/apps/{id}/stop"), json!({}), 400, "single container"),
        ("/v2/applications/x/restart".to_owned(), json!({}), 400, "Invalid app id"),
        ("/v2/applications/1/restart-service".to_owned(), json!({ "serviceName": "db" }), 404, "App not found"),
        (format!("/v2/applications/{id}/restart-service"), json!({}), 400, "serviceName"),
        (format!("/v2/applications/{id}/start-service"), json!({ "serviceName": "none" }), 404, "Service not found"),
        (format!("/v2/applications/{id}/stop-service"), json!({ "imageId": 1 }), 404, "Service not found"),
    ] {
        let (answered, text) = post(&site, &path, &body);
        assert!(answered == status && text.contains(words), "{path} {body}: {answered} {text}");
    }
    for (path, status, words) in [
        ("/v1/apps/x".to_owned(), 400, "Missing app id"),
        ("/v1/apps/1".to_owned(), 400, "App not found"),
        (format!("/v1/apps/{id}"), 400, "single container"),
        ("/v2/applications/x/state".to_owned(), 400, "Invalid application ID: x"),
        ("/v2/applications/1/state".to_owned(), 409, "Application ID does not exist: 1"),
    ] {
        let answer = site.device.get(&path);
        assert!(answer.status == status && answer.text().contains(words), "{path}: {} {}", answer.status, answer.text());
    }
    assert_eq!(ids(&engine.containers(&site.app)), ids(&before));
    let unknown = site.device.command(&["service", "restart", "none"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("there is: db, web"), "{unknown:?}");
}

#[test]
fn volumes_nobody_references_are_removed_when_asked() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _, containers) = settled(&engine);
    // The agent's own labels, with which it tells its volumes from others.
    let data = engine.call("GET", &format!("/volumes/{}", site.app.volume("data")), &Value::Null).json();
    let label = data["Labels"].clone();
    let made = [
        (format!("{}_old", site.app.id), label.clone()),
        ("99_gone".to_owned(), label),
        (format!("{}_foreign", site.app.id), json!({})),
    ];
    for (name, labels) in &made {
        engine.call("POST", "/volumes/create", &json!({ "Name": name, "Labels": labels }));
    }
    assert_eq!(site.device.get("/v2/cleanup-volumes").json(), json!({ "status": "success" }));
    let left = |name: &str| engine.volumes(name).len();
    assert_eq!((left(&made[0].0), left(&made[1].0), left(&made[2].0)), (0, 0, 1), "only the agent's own");
    assert_eq!(content(&engine, &containers), "precious");
}
