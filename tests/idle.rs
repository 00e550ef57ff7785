//! Idle means idle: a target that is met causes no engine write, no database write and no report, though the cloud is
//! polled all the while.
// needs: engine

use std::time::Duration;

use crate::support::{App, Cloud, Device, Engine, Release, Role, Service, check, long_run, wait_for};

#[test]
fn a_target_that_is_met_is_left_alone() {
    let Some(engine) = Engine::shared() else { return };
    let mut device = Device::on(&engine);
    device.set("RUST_LOG", "info");
    let cloud = Cloud::of(&device);
    let app = App::new();
    let release = Release::new("only")
        .service("db", Service::new(&engine.image(Role::Sleeps, "db")).mount("data:/data"))
        .service("main", Service::new(&engine.image(Role::SleepsHealthy, "main")).depends_on(&["db"]))
        .service("web", Service::new(&engine.image(Role::Serves, "web")))
        .volume("data");
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    let containers = engine.wait_running(&app, &release.commit, &["db", "main", "web"]);
    wait_for("two seconds without a report", || {
        let before = cloud.reports().len();
        std::thread::sleep(Duration::from_secs(2));
        check(cloud.reports().len() == before, "reports keep coming")
    });

    let (from, reports, polls) = (crate::support::seconds_now(), cloud.reports().len(), cloud.polls().len());
    let (files, written) = (device.data_files(), device.bytes_written());
    std::thread::sleep(Duration::from_secs(if long_run() { 240 } else { 20 }));
    let repositories: Vec<String> =
        containers.iter().filter_map(|c| Some(c.inspect["Config"]["Image"].as_str()?.split('@').next()?.to_owned())).collect();
    let app_id = format!("\"{}\"", app.id);
    let volume = app.volume("");
    let mut words = vec![app_id.as_str(), app.uuid.as_str(), volume.as_str()];
    words.extend(repositories.iter().map(String::as_str));

    let polled = cloud.polls();
    assert!(polled.len() > polls + 5, "the agent went on polling");
    assert!(polled[polls..].iter().all(|poll| poll.status == 304 || poll.status == 0), "and the answer was always: nothing new");
    assert_eq!(engine.events_between(from, crate::support::seconds_now(), &words), Vec::<String>::new());
    assert_eq!(device.data_files(), files, "no file of the data directory changed");
    assert_eq!(device.bytes_written(), written, "and nothing else was written to storage");
    assert_eq!(cloud.reports()[reports..], [] as [serde_json::Value; 0]);
}
