//! The ground the engine suites stand on, without the agent: when this fails, the machine is at fault.
// needs: engine

use crate::support::{App, Container, Engine, Role, check, seconds_now, unique, wait_for};
use serde_json::{Value, json};

/// What an agent would make of a service, in short.
fn run(engine: &Engine, app: &App, service: &str, image: &str, more: &Value) -> Container {
    engine.call("POST", &format!("/images/create?fromImage={image}"), &Value::Null);
    let mut wanted = json!({
        "Image": image, "Labels": { "io.balena.app-id": app.id.to_string(), "io.balena.service-name": service },
    });
    wanted.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let made = engine.call("POST", &format!("/containers/create?name={service}_1_1_{}", app.id), &wanted).json();
    engine.call("POST", &format!("/containers/{}/start", made["Id"].as_str().unwrap()), &Value::Null);
    engine.service(app, service)
}

#[test]
fn images_are_pulled_containers_run_and_ports_answer() {
    let Some(engine) = Engine::shared() else { return };
    let (app, port, from) = (App::new(), 30_000 + unique() % 2_000, seconds_now());
    let images = [engine.image(Role::SleepsHealthy, "sleeps"), engine.image(Role::Serves, "serves")];
    assert!(!engine.has_image(&images[0]), "it has to be pulled for real");

    let sleeps = run(&engine, &app, "sleeps", &images[0], &Value::Null);
    let ports = json!({ "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": port.to_string() }] } } });
    let serves = run(&engine, &app, "serves", &images[1], &ports);
    assert!(sleeps.running && serves.running && sleeps.started_at() < serves.started_at());
    assert!(engine.exec_ok(&sleeps.id, &["cat", "/variant"]).starts_with("sleeps"));
    assert_eq!(engine.exec(&sleeps.id, &["false"]).0, 1);
    assert!(wait_for("the published port", || engine.fetch_published(port)).starts_with("serves"));
    wait_for("the health check", || {
        let health = engine.service(&app, "sleeps").inspect["State"]["Health"]["Status"].clone();
        check(health == "healthy", health)
    });

    let events = engine.events_between(from, seconds_now(), &[&format!("\"{}\"", app.id)]);
    assert!(events.iter().any(|event| event.starts_with("\"container\" \"start\"")), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("exec_") || event.contains("health_")), "{events:?}");
    let begin = seconds_now();
    for container in engine.containers(&app) {
        engine.call("POST", &format!("/containers/{}/stop?t=10", container.id), &Value::Null);
        engine.remove_container(&container.id);
    }
    assert!(seconds_now() - begin < 8.0, "the images' programs end when they are told to");
    assert!(engine.containers(&app).is_empty());
}

#[test]
fn an_engine_of_a_tests_own_can_be_stopped_and_started() {
    let Some(engine) = Engine::own() else { return };
    let app = App::new();
    let restart = json!({ "HostConfig": { "RestartPolicy": { "Name": "always" } } });
    let before = run(&engine, &app, "main", &engine.image(Role::Sleeps, "main"), &restart);
    engine.stop_daemon();
    assert!(engine.try_call("GET", "/_ping", &[]).is_err());
    engine.start_daemon();
    wait_for("the container to run again", || check(engine.service(&app, "main").running, "stopped"));
    assert_eq!(engine.service(&app, "main").id, before.id);
}
