//! The engine going away and coming back is survived without a restart of the agent.
// needs: engine

use crate::support::{App, Cloud, Device, Engine, Release, Role, Service};

#[test]
fn an_engine_that_is_stopped_and_started_again_is_survived() {
    let Some(engine) = Engine::own() else { return };
    let mut device = Device::on(&engine);
    let cloud = Cloud::of(&device);
    let app = App::new();
    let first = Release::new("first").service("main", Service::new(&engine.image(Role::Sleeps, "main 1")));
    let second_image = engine.image(Role::Sleeps, "main 2");
    cloud.want(&[(&app, &first)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &first);
    let agent = device.pid();

    engine.stop_daemon();
    device.wait_status(&["engine", "does not answer"]);
    assert_eq!(device.get("/ping").status, 200, "the agent answers while the engine is away");
    // A target that arrives meanwhile is kept until it can be acted upon.
    let second = Release::new("second").service("main", Service::new(&second_image));
    cloud.want(&[(&app, &second)]);
    cloud.wait_polls(2);

    engine.start_daemon();
    cloud.wait_settled(&app, &second);
    engine.wait_running(&app, &second.commit, &["main"]);
    assert_eq!(device.pid(), agent, "it is the same process");
}

#[test]
fn an_agent_that_starts_before_the_engine_waits_for_it() {
    let Some(engine) = Engine::own() else { return };
    let image = engine.image(Role::Sleeps, "main");
    engine.stop_daemon();
    let mut device = Device::on(&engine);
    let cloud = Cloud::of(&device);
    let app = App::new();
    let release = Release::new("first").service("main", Service::new(&image));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    device.wait_status(&["does not answer"]);

    engine.start_daemon();
    cloud.wait_settled(&app, &release);
}
