//! `holdfast demo` on a real engine: the same, and it cleans up after itself.
// needs: engine

use crate::support::Engine;
use serde_json::Value;

#[test]
fn it_shows_the_main_job_and_leaves_nothing_behind() {
    let Some(engine) = Engine::own() else { return };
    // Its embedded registry has to be where the engine can reach it.
    let binary = crate::support::binary().into_string().expect("a plain path");
    let address = format!("DOCKER_HOST=unix://{}", engine.socket().display());
    let (ok, shown) = engine.run_in_network(&["env", &address, &binary, "demo", "--engine", "docker", "--exit"]);
    assert!(ok, "{shown}");
    assert!(shown.to_lowercase().contains("docker"), "it says which engine it uses: {shown}");

    let count = |path: &str| engine.call("GET", path, &Value::Null).json().as_array().map(Vec::len);
    assert_eq!(count("/containers/json?all=1"), Some(0));
    assert_eq!(count("/images/json?all=1"), Some(0));
    assert_eq!(engine.volumes(""), Vec::<String>::new());
    assert_eq!(engine.networks("").len(), 3, "only the engine's own: {:?}", engine.networks(""));
}

#[test]
fn it_refuses_an_engine_that_has_supervised_containers() {
    let Some(engine) = Engine::own() else { return };
    let image = engine.image(crate::support::Role::Sleeps, "someone's");
    engine.call("POST", &format!("/images/create?fromImage={image}"), &Value::Null);
    let theirs = serde_json::json!({ "Image": image, "Labels": { "io.balena.supervised": "true" } });
    engine.call("POST", "/containers/create?name=main_1_2_abc", &theirs);
    let address = format!("DOCKER_HOST=unix://{}", engine.socket().display());
    let binary = crate::support::binary().into_string().expect("a plain path");
    let (ok, shown) = engine.run_in_network(&["env", &address, &binary, "demo", "--engine", "docker", "--exit"]);
    assert!(!ok, "{shown}");
    let there = engine.call("GET", "/containers/json?all=1", &Value::Null).json();
    assert_eq!(there.as_array().map(Vec::len), Some(1), "and touches nothing: {there}");
}
