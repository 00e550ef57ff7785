//! Starts with what an earlier agent or the image left, interrupted ones among them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::events::Level;
use crate::store::{InlineFailure, InlineStore, Loaded, Store};

const UUID: &str = "0123456789abcdef0123456789abcdef";
const APP: &str = "11111111222222223333333344444444";

struct Site {
    folder: tempfile::TempDir,
    settings: Settings,
    store: InlineStore,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: folder.path().join("data"), ..Settings::default() };
        settings.host_root = folder.path().join("root");
        settings.cloud.uuid = Some(UUID.to_owned());
        settings.cloud.api_endpoint = "https://api.example.com".to_owned();
        for made in ["data", "root/mnt/data", "root/mnt/boot"] {
            fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        Site { folder, settings, store: InlineStore::new() }
    }

    fn provisioned(mut self) -> Site {
        (self.settings.cloud.registered_at, self.settings.cloud.device_id) = (Some(1), Some(1));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &Value) -> PathBuf {
        fs::write(self.path(name), content.to_string()).unwrap();
        self.path(name)
    }

    async fn loaded(&self) -> Loaded {
        self.store.load("https://api.example.com", UUID).await.unwrap()
    }

    async fn start(&self) -> Told {
        at_start(&self.settings, &self.store, &self.loaded().await, Some(7)).await
    }

    async fn target(&self) -> Value {
        let target = self.loaded().await.target.expect("a target");
        assert_eq!(target.etag, None);
        serde_json::from_str::<Value>(&target.body).unwrap()[UUID].clone()
    }
}

fn preload() -> Value {
    let service = json!({ "id": 7, "image_id": 9, "image": "a/b:1", "environment": {}, "labels": {}, "composition": {} });
    let release = json!({ "id": 5, "services": { "main": service }, "networks": {}, "volumes": {} });
    let app = json!({ "id": 1234, "name": "fleet", "class": "fleet", "releases": { "c0ffee": release } });
    json!({ "config": { "RESIN_HOST_CONFIG_gpu_mem": "16" }, "apps": { APP: app }, "pinDevice": true })
}

#[tokio::test]
async fn a_preload_is_loaded_once_and_put_away() {
    for place in ["root/mnt/data/apps.json", "root/mnt/boot/apps.json", "data/apps.json"] {
        let site = Site::new();
        site.write(place, &preload());
        let told = site.start().await;
        assert!(told.changed && told.events[0].message.contains("taken over from"), "{told:?}");
        assert_eq!(site.target().await["apps"][APP]["name"], "fleet");
        assert_eq!(site.loaded().await.values["pinDevice"], r#"{"app":1234,"commit":"c0ffee"}"#);
        assert_eq!(fs::read_to_string(site.path(place)).unwrap(), "{}\n");
        assert_eq!(fs::read_to_string(site.path(&format!("{place}.preloaded"))).unwrap(), preload().to_string());
        let again = site.start().await;
        assert!(!again.changed && again.events.is_empty(), "{again:?}");
    }
}

/// The agent is killed between storing and renaming: the file is there as if nothing had happened.
#[tokio::test]
async fn a_start_that_was_cut_off_is_finished_without_a_second_effect() {
    for site in [Site::new(), Site::new().provisioned()] {
        let file = site.write("root/mnt/data/apps.json", &preload());
        site.start().await;
        fs::rename(site.path("root/mnt/data/apps.json.preloaded"), &file).unwrap();
        // Meanwhile the cloud's own target came.
        let mut target = site.loaded().await.target.unwrap();
        (target.etag, target.body) = (Some("e".into()), json!({ UUID: {"name": "n", "config": {}, "apps": {}} }).to_string());
        site.store.commit(vec![crate::store::Change::Target(target.clone())]).await.unwrap();
        let writes = site.store.writes();
        let told = site.start().await;
        assert!(!told.changed, "{told:?}");
        assert_eq!((site.loaded().await.target.unwrap(), site.store.writes()), (target, writes));
        assert!(site.path("root/mnt/data/apps.json.preloaded").exists());
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}\n");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_tried_again() {
    let site = Site::new();
    let file = site.write("root/mnt/data/apps.json", &preload());
    site.store.fail(Some(InlineFailure::Refused("full".into())));
    let told = site.start().await;
    assert!(!told.changed && told.events[0].message.contains("full") && file.metadata().unwrap().len() > 10, "{told:?}");
    site.store.fail(None);
    assert!(site.start().await.changed);
}

#[tokio::test]
async fn a_provisioned_device_with_a_target_leaves_a_preload_alone() {
    let site = Site::new().provisioned();
    site.write("root/mnt/data/apps.json", &preload());
    site.start().await;
    let file = site.write("root/mnt/data/apps.json", &json!({ "apps": {}, "config": { "x": "1" }, "other": true }));
    let told = site.start().await;
    assert!(!told.changed && told.events.is_empty() && file.exists(), "{told:?}");
}

#[tokio::test]
async fn the_second_form_has_numbers_for_names() {
    let site = Site::new();
    let service = json!({ "imageId": "9", "serviceName": "main", "image": "a/b:1", "running": true, "environment": {"A": "1"},
        "labels": {}, "ports": ["80:80"], "privileged": true });
    let app = json!({ "name": "fleet", "commit": "c0ffee", "releaseId": "5", "services": { "7": service },
        "volumes": { "data": null }, "networks": {} });
    site.write("root/mnt/data/apps.json", &json!({ "config": {}, "apps": { "1234": app } }));
    let told = site.start().await;
    assert!(told.events.iter().any(|event| event.level == Level::Warning && event.message.contains("uuid")), "{told:?}");
    let app = &site.target().await["apps"]["1234"];
    let main = &app["releases"]["c0ffee"]["services"]["main"];
    assert_eq!((&app["id"], &main["id"], &main["image_id"]), (&json!("1234"), &json!("7"), &json!("9")));
    assert_eq!(main["composition"], json!({ "ports": ["80:80"], "privileged": true }));
    assert_eq!(app["releases"]["c0ffee"]["volumes"], json!({ "data": {} }));
}

#[tokio::test]
async fn the_first_form_is_one_container_that_may_do_everything() {
    let site = Site::new();
    site.write(
        "root/mnt/data/apps.json",
        &json!([{ "appId": "1234", "name": "fleet", "commit": "c0ffee", "imageId": "a/b:1",
            "env": { "A": "1", "RESIN_X": "2" },
            "config": { "RESIN_SUPERVISOR_UPDATE_STRATEGY": "hand-over", "RESIN_APP_RESTART_POLICY": "no" } }]),
    );
    site.start().await;
    let target = site.target().await;
    let release = &target["apps"]["user-app"]["releases"]["c0ffee"];
    let main = &release["services"]["main"];
    assert_eq!((&main["environment"], &release["volumes"]), (&json!({ "A": "1" }), &json!({ "resin-data": {} })));
    assert_eq!(main["composition"]["restart"], "no");
    assert_eq!(main["labels"]["io.resin.update.strategy"], "hand-over");
    assert_eq!(main["labels"]["io.resin.features.dbus"], "1");
    let parsed = holdfast_plan::target::parse(&json!({ UUID: target }), UUID).unwrap();
    assert!(parsed.refused.is_empty(), "{:?}", parsed.refused);
}

#[tokio::test]
async fn a_bad_preload_is_named_and_left() {
    let mut half = preload();
    half["apps"][APP]["releases"]["c0ffee"]["services"]["main"]["image"] = json!("");
    let mut empty = preload();
    empty["apps"][APP]["releases"] = json!({});
    for (content, words) in [
        (Value::from("text"), "neither an object nor a list"),
        (json!({ "apps": [] }), "apps: it is not an object"),
        (json!({ "apps": { "a": 1 } }), "apps.a: it is not an object"),
        (empty, "it has no release"),
        (half, "services.main.image"),
        (json!([{ "name": "x" }]), "commit: it is not a text"),
        (json!([1, 2]), "several apps"),
        (json!({ "apps": { "5": { "commit": "c", "services": { "1": {} } } } }), "apps.5.services.1: it has no serviceName"),
    ] {
        let site = Site::new();
        let file = site.write("root/mnt/data/apps.json", &content);
        let told = site.start().await;
        let event = &told.events[0];
        assert!(!told.changed && event.level == Level::Error && event.message.contains(words), "{content}: {event:?}");
        assert_eq!((fs::read_to_string(&file).unwrap(), site.store.writes()), (content.to_string(), 0));
    }
    let site = Site::new();
    fs::write(site.path("root/mnt/data/apps.json"), "{\"apps\":").unwrap();
    assert!(site.start().await.events[0].message.contains("not JSON"));
    // An empty one is no mistake, and neither is the folder an engine makes of a missing file.
    let site = Site::new();
    site.write("root/mnt/data/apps.json", &json!({}));
    fs::create_dir(site.path("root/mnt/boot/apps.json")).unwrap();
    assert!(site.start().await.events.is_empty());
}

#[tokio::test]
async fn nothing_is_written_over_when_a_preload_is_put_away() {
    let site = Site::new();
    let file = site.write("root/mnt/data/apps.json", &preload());
    fs::write(site.path("root/mnt/data/apps.json.preloaded"), "earlier").unwrap();
    site.start().await;
    assert_eq!(fs::read_to_string(site.path("root/mnt/data/apps.json.preloaded")).unwrap(), "earlier");
    assert_eq!(fs::read_to_string(site.path("root/mnt/data/apps.json.preloaded.1")).unwrap(), preload().to_string());
    assert_eq!(fs::read_to_string(file).unwrap(), "{}\n");
}

fn older() -> Value {
    json!({ "apps": { "1001": { "appId": 1001, "appName": "Web Server", "services": [
        { "serviceId": 1, "serviceName": "nginx", "imageName": "nginx:1", "status": "running", "containerId": "abc",
          "config": { "image": "other", "ports": ["80:80"], "environment": { "A": 1 }, "volumes": ["data:/data", "/x:/y"] } },
        { "serviceId": 2, "serviceName": "db", "imageName": "postgres:16", "config": "{\"restart\":\"always\"}" },
    ] } } })
}

#[tokio::test]
async fn an_older_tools_file_is_imported_and_archived() {
    let site = Site::new();
    let file = site.write("data/state.json", &older());
    let told = site.start().await;
    assert!(told.changed && told.events.iter().any(|event| event.message.contains("older tool")), "{told:?}");
    let target = site.target().await;
    let release = &target["apps"]["1001"]["releases"]["imported"];
    let nginx = &release["services"]["nginx"];
    assert_eq!((&nginx["image"], &nginx["environment"]), (&json!("nginx:1"), &json!({ "A": "1" })));
    assert_eq!(nginx["composition"]["ports"], json!(["80:80"]));
    assert_eq!(release["services"]["db"]["composition"]["restart"], "always");
    assert_eq!(release["volumes"], json!({ "data": {} }));
    assert!(!file.exists());
    assert_eq!(fs::read_to_string(site.path("data/imported/state.json")).unwrap(), older().to_string());
    // Killed before it was moved: moved now, and nothing else.
    let writes = site.store.writes();
    fs::rename(site.path("data/imported/state.json"), &file).unwrap();
    assert!(!site.start().await.changed);
    assert!(!file.exists() && site.path("data/imported/state.json").exists() && site.store.writes() == writes);
    // Somebody else's file of that name is left.
    fs::remove_dir_all(site.path("data/imported")).unwrap();
    site.store.commit(vec![crate::store::Change::Value { name: IMPORTED_FROM.into(), value: None }]).await.unwrap();
    site.write("data/state.json", &json!({ "mine": true }));
    site.start().await;
    assert!(file.exists());
}

#[tokio::test]
async fn a_bad_older_file_stays_where_it_is() {
    for content in
        [json!({ "apps": { "1": { "services": 5 } } }), json!({ "x": 1 }), json!({ "apps": { "1": { "services": [{}] } } })]
    {
        let site = Site::new();
        let file = site.write("data/state.json", &content);
        let told = site.start().await;
        assert!(!told.changed && told.events[0].level == Level::Error && file.exists(), "{told:?}");
    }
}

#[tokio::test]
async fn balenas_database_comes_first_and_only_at_the_first_start() {
    let site = Site::new();
    let folder = site.path("data/resin-supervisor");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("database.sqlite"), "SQLite format 3\0 and then nothing").unwrap();
    site.write("data/state.json", &older());
    let told = site.start().await;
    // Damaged: said, and the next source is looked at.
    assert!(told.events[0].level == Level::Error && told.events[0].message.contains("damaged"), "{told:?}");
    assert!(told.changed && told.events.iter().any(|event| event.message.contains("state.json")));
    assert!(site.start().await.events.is_empty(), "a device with a target looks no more");
}

#[test]
fn a_named_file_is_known_by_its_content() {
    let site = Site::new();
    for content in [preload(), older()] {
        let file = site.write("any.json", &content);
        let imported = read_named(&file, &site.settings).unwrap();
        assert!(imported.has_target && !imported.summary().is_empty());
        keep_copy(&file, &site.settings).unwrap();
        keep_copy(&file, &site.settings).unwrap();
    }
    assert_eq!(fs::read_dir(site.path("data/imported")).unwrap().count(), 4);
    for (content, words) in [("{}", "no app in it"), ("x", "not JSON"), ("", "not JSON")] {
        fs::write(site.path("any.json"), content).unwrap();
        let error = read_named(&site.path("any.json"), &site.settings).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("nothing was imported"), "{error}");
    }
    assert!(read_named(&site.path("missing"), &site.settings).is_err());
    assert!(read_named(&site.path("data"), &site.settings).unwrap_err().to_string().contains("not a plain file"));
    let nobody = Settings::default();
    assert!(read_named(&site.path("any.json"), &nobody).unwrap_err().to_string().contains("names no uuid"));
}
