//! Local mode, and what the device says of itself.

use serde_json::{Value, json};

use super::{ALL, content, settled};
use crate::support::{App, Cloud, Device, Engine, Release, Role, Service, check, ids, wait_for};

/// Local mode with its data: nobody's volumes go while somebody develops on the device.
#[test]
fn local_mode_runs_the_devices_own_target_and_gives_the_device_back() {
    let Some(engine) = Engine::shared() else { return };
    let (mut site, first, before) = settled(&engine);
    let image = engine.image(Role::Sleeps, "2");
    let local = App { id: 1, uuid: "1".into(), ..site.app.clone() };
    let service = json!({ "serviceName": "dev", "imageId": 1, "image": image, "running": true, "environment": {}, "labels": {},
        "volumes": ["work:/work"] });
    let app = json!({ "name": "localapp", "commit": "localrelease", "releaseId": "1", "services": { "1": service },
        "volumes": { "work": {} }, "networks": {} });
    let target = json!({ "local": { "name": "a-device", "config": {}, "apps": { "1": app } } });
    let refused = site.device.post("/v2/local/target-state", &target);
    assert!(refused.status == 400 && refused.text().contains("local mode"), "{}", refused.text());

    site.want_with(&first, &[("BALENA_SUPERVISOR_LOCAL_MODE", "1")]);
    wait_for("local mode", || {
        let state = site.device.get("/v2/local/target-state").json();
        check(state["state"]["local"]["config"]["BALENA_SUPERVISOR_LOCAL_MODE"] == "1", &state)
    });
    assert_eq!(ids(&engine.containers(&site.app)), ids(&before), "until one is set the cloud's goes on");
    let file = site.device.path("local.json");
    std::fs::write(&file, target.to_string()).unwrap();
    let set = site.device.command(&["target", "set", file.to_str().unwrap()]);
    assert_eq!(set.code, 0, "{set:?}");
    let dev = engine.wait_running(&local, "localrelease", &["dev"]);
    wait_for("the fleet's containers to be gone", || check(engine.containers(&site.app).is_empty(), "there"));
    assert_eq!(engine.volumes(&site.app.volume("data")).len(), 1, "its volume stays");
    assert_eq!(site.device.get("/v2/cleanup-volumes").status, 200);
    assert_eq!(engine.volumes(&site.app.volume("data")).len(), 1, "also then: the cloud's target needs it");
    let shown = site.device.get("/v2/local/target-state").json();
    assert_eq!(shown["state"]["local"]["apps"]["1"]["services"][0]["serviceName"], "dev", "{shown}");
    assert!(site.device.command(&["target", "show"]).stderr.contains("from local"));
    // Also after a restart of the agent; and a purge empties volumes here as well.
    site.device.kill();
    site.device.start();
    site.device.wait_status(&["settled", "localapp"]);
    assert_eq!(ids(&engine.containers(&local)), ids(&dev));
    engine.exec_ok(&dev[0].id, &["sh", "-c", "echo x > /work/file"]);
    assert_eq!(site.device.post("/v2/applications/1/purge", &Value::Null).status, 200);
    let dev = engine.wait_running(&local, "localrelease", &["dev"]);
    assert_eq!(engine.exec_ok(&dev[0].id, &["sh", "-c", "ls /work"]).trim(), "");

    site.want(&first);
    let back = engine.wait_running(&site.app, &first.commit, &ALL);
    assert_eq!(content(&engine, &back), "precious", "the device is as it was");
    wait_for("the developer's containers to be gone", || check(engine.containers(&local).is_empty(), "there"));
    engine.call("DELETE", "/volumes/1_work", &Value::Null);
}

/// The device itself, on the simulated engine: nothing of it needs a real one.
#[test]
fn the_device_says_who_it_is_and_blinks() {
    let mut device = Device::simulated();
    let led = device.path("led");
    std::fs::write(&led, "0").unwrap();
    device.set("LED_FILE", led.to_str().unwrap());
    let cloud = Cloud::of(&device);
    device.join(&cloud);
    cloud.want(&[(&App::new(), &Release::new("r").service("main", Service::new("registry.example.com/x")))]);
    device.wait_status(&["a-device"]);
    assert_eq!(device.get("/v2/device/name").json(), json!({ "status": "success", "deviceName": "a-device" }));
    let info = device.get("/v2/local/device-info").json();
    assert!(
        info["status"] == "success" && info["info"]["arch"].is_string() && info["info"].get("deviceType").is_some(),
        "{info}"
    );
    let vpn = device.get("/v2/device/vpn").json();
    assert_eq!(vpn, json!({ "status": "success", "vpn": { "enabled": false, "connected": false } }));
    assert_eq!((device.post("/v1/blink", &Value::Null).status, std::fs::read_to_string(&led).unwrap()), (200, "1".into()));
    for (body, status) in [(json!({ "a b": "c" }), 400), (json!({ "a": 1 }), 400), (json!({ "place": "shed 7" }), 202)] {
        assert_eq!(device.patch("/v2/device/tags", &body).status, status, "{body}");
    }
    wait_for("the tag to reach the cloud", || {
        let tags = device.get("/v2/device/tags");
        check(tags.status == 200 && tags.json()["tags"][0]["value"] == "shed 7", tags.text())
    });
}
