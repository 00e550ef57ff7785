//! Databases of every age, and broken ones.

mod databases;

use std::fs;

use holdfast_plan::target::parse;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::json;

use self::databases::*;
use super::*;
use crate::store::{Change, StoredTarget};

fn key(app: u64, service: &str) -> crate::store::KeyOwner {
    Some((app, service.to_owned()))
}

#[tokio::test]
async fn every_age_is_taken_over_as_far_as_it_goes() {
    for age in AGES {
        let site = Site::new(age);
        let index = at(age);
        let imported = site.read().unwrap_or_else(|error| panic!("{age}: {error}"));
        let loaded = site.stored(&imported).await;
        assert_eq!(loaded.values["name"], "quiet-river", "{age}");
        assert_eq!((loaded.values["targetTags"].as_str(), loaded.values["delta"].as_str()), ("{\"a\":\"b\"}", "true"));
        assert!(!loaded.values.contains_key("logsChannelSecret") && !loaded.values.contains_key("pinDevice"));
        let schema = if age.is_empty() { "schema legacy" } else { age };
        assert!(loaded.values["imported_from"].contains(schema), "{}", loaded.values["imported_from"]);

        let since = |first: &str| index >= at(first);
        assert_eq!(loaded.memory.target_stored, since("M00008"), "{age}");
        assert_eq!(loaded.memory.images.contains_key(IMAGE), since("20171129064057_multicontainer"), "{age}");
        if let Some(image) = loaded.memory.images.get(IMAGE) {
            let engine_id = if since("20171214172530_image_docker_id") { "sha256:engine" } else { "" };
            let app = if since("M00008") { APP } else { "1234" };
            assert_eq!((image.engine_id.as_str(), image.app_uuid.as_str(), image.service.as_str()), (engine_id, app, "main"));
        }
        let key_of_main = loaded.api_keys.get(&key(1234, "main")).map(|stored| stored.key.as_str());
        assert_eq!(key_of_main, since("M00005").then_some(KEY), "{age}");
        let scopes = loaded.api_keys.get(&key(1234, "main")).map(|stored| stored.scopes.as_str());
        // A key whose scopes were none stays one.
        let expected = if since("M00007") { r#"[{"type":"app","appId":1234}]"# } else { "[]" };
        assert_eq!(scopes, since("M00005").then_some(expected), "{age}");
        let global = loaded.api_keys.get(&None).map(|stored| stored.scopes.as_str());
        assert_eq!(global, since("M00005").then_some(r#"[{"type":"global"}]"#), "{age}");
        assert_eq!(loaded.api_keys.get(&None).map(|stored| stored.key.as_str()), since("M00005").then_some(GLOBAL), "{age}");
        assert_eq!(loaded.memory.settled.contains_key(APP), since("M00008"), "{age}");
        let says_so = imported.remarks.iter().any(|remark| remark.contains("left alone until the cloud sends one"));
        assert_eq!(says_so, !since("M00008"), "{age}: {:?}", imported.remarks);
    }
}

#[tokio::test]
async fn the_target_is_the_clouds_own_without_its_etag() {
    let site = Site::new("M00012");
    let loaded = site.stored(&site.read().unwrap()).await;
    let StoredTarget { source, uuid, etag, body } = loaded.target.unwrap();
    assert_eq!((source.as_str(), uuid.as_str(), etag), (CLOUD, UUID, None));
    let wanted = json!({ UUID: { "name": "quiet-river", "config": { "HOST_CONFIG_gpu_mem": "16" }, "apps": { APP: {
        "id": 1234, "name": "fleet", "class": "fleet", "is_host": false, "releases": { "c0ffee": {
            "id": 55, "networks": {}, "volumes": { "data": {} }, "services": { "main": {
                "id": 7, "image_id": 99, "image": IMAGE, "running": true, "environment": { "A": "1" },
                "labels": { "io.balena.features.supervisor-api": "1" },
                "composition": { "restart": "always", "ports": ["80:80"], "volumes": ["data:/data"],
                    "networks": { "default": null } },
            } } } } } } } });
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, wanted);
    let target = parse(&body, UUID).unwrap();
    assert!(target.refused.is_empty());
    let settled = &loaded.memory.settled[APP];
    // The same as the agent would record: nothing is written again when the release settles.
    assert_eq!((settled.commit.as_str(), &settled.fingerprint), ("c0ffee", &target.apps[APP].fingerprint));
}

#[tokio::test]
async fn an_update_that_was_under_way_goes_on() {
    let site = Site::new("M00012");
    site.execute("UPDATE currentCommit SET \"commit\" = 'before'; INSERT INTO currentCommit VALUES (2, 77, 'other')");
    let loaded = site.stored(&site.read().unwrap()).await;
    let settled = &loaded.memory.settled[APP];
    assert_eq!((settled.commit.as_str(), settled.document.is_null()), ("before", true));
    assert_eq!(loaded.memory.settled.len(), 1);
}

#[test]
fn without_the_clouds_apps_there_is_no_target() {
    // The one wipes its rows at a change of schema, the other moved to another cloud: an empty target would remove everything.
    for sql in [
        "DELETE FROM app; DELETE FROM config WHERE key = 'targetStateSet'",
        "UPDATE app SET source = 'https://other.example.com'",
        "UPDATE config SET value = 'false' WHERE key = 'targetStateSet'",
        "INSERT INTO app (name, appId, services, source) VALUES ('old', 5, '[]', 'https://api.example.com')",
    ] {
        let site = Site::new("M00012");
        site.execute(sql);
        let imported = site.read().unwrap();
        assert!(!imported.has_target, "{sql}");
        assert!(imported.remarks.iter().any(|remark| remark.contains("left alone")), "{:?}", imported.remarks);
        assert!(imported.changes.iter().any(|change| matches!(change, Change::ApiKey { .. })), "keys stay: {sql}");
    }
}

#[test]
fn local_apps_count_in_local_mode_and_apps_beside_the_fleets_always() {
    let site = Site::new("M00012");
    let local = "INSERT INTO app (name, appId, \"commit\", services, source, uuid) VALUES ('mine', 1, 'l', '[]', 'local', 'l')";
    let beside = "INSERT INTO app (name, appId, \"commit\", services, source, uuid, class) VALUES
        ('agent', 2, 'x', '[]', 'https://elsewhere', 'x', 'app')";
    site.execute(&format!("{local}; {beside}"));
    let targets = |imported: &Imported| -> Vec<StoredTarget> {
        let target = |change: &Change| if let Change::Target(target) = change { Some(target.clone()) } else { None };
        imported.changes.iter().filter_map(target).collect()
    };
    let found = targets(&site.read().unwrap());
    assert_eq!(found.len(), 1);
    assert!(found[0].body.contains("\"agent\"") && !found[0].body.contains("\"mine\""));
    site.execute("INSERT INTO config VALUES ('localMode', 'true')");
    let found = targets(&site.read().unwrap());
    assert_eq!((found.len(), found[1].source.as_str()), (2, LOCAL_SOURCE));
}

#[test]
fn what_is_still_in_the_log_counts_and_stays_there() {
    let site = Site::new("M00012");
    let writer = Connection::open(site.file()).unwrap();
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    writer.execute("UPDATE config SET value = 'louder-river' WHERE key = 'name'", []).unwrap();
    drop(writer);
    assert!(fs::metadata(site.file().with_extension("sqlite-wal")).unwrap().len() > 0);
    let imported = site.read().unwrap();
    assert!(imported.changes.iter().any(|change| matches!(change, Change::Value { value: Some(v), .. } if v == "louder-river")));
}

#[test]
fn half_a_transaction_is_taken_back_in_the_copy_only() {
    let site = Site::new("M00012");
    // A writer that was cut off: the journal holds what was there before.
    let writer = Connection::open(site.file()).unwrap();
    writer.execute_batch("PRAGMA cache_size = 0; PRAGMA cache_spill = 1; BEGIN IMMEDIATE").unwrap();
    writer.execute("UPDATE config SET value = 'torn' WHERE key = 'name'", []).unwrap();
    writer.execute_batch("CREATE TABLE filler (x); INSERT INTO filler VALUES (randomblob(500000))").unwrap();
    let cut = tempfile::tempdir().unwrap();
    for name in ["database.sqlite", "database.sqlite-journal"] {
        fs::copy(site.file().with_file_name(name), cut.path().join(name)).unwrap();
    }
    drop(writer);
    for name in ["database.sqlite", "database.sqlite-journal"] {
        fs::copy(cut.path().join(name), site.file().with_file_name(name)).unwrap();
    }
    let imported = site.read().unwrap();
    assert!(imported.changes.iter().any(|change| matches!(change, Change::Value { value: Some(v), .. } if v == "quiet-river")));
}

#[test]
fn broken_databases_change_nothing_and_say_why() {
    for (sql, words) in [
        ("UPDATE app SET services = '[{'", "table app, row 1 (fleet), column services: it is not JSON"),
        ("UPDATE app SET services = '{}'", "column services: it is not a list"),
        ("UPDATE app SET services = '[7]'", "something that is no service"),
        ("UPDATE app SET services = '[{\"image\":\"a\"}]'", "a service has no serviceName"),
        ("UPDATE app SET volumes = 'x'", "column volumes: it is not JSON"),
        ("UPDATE app SET appId = 'many'", "column appId: it is not a whole number"),
        ("UPDATE deviceConfig SET targetValues = '[1]'", "column targetValues: it is not an object"),
        ("UPDATE config SET value = '{' WHERE key = 'targetTags'", "table config"),
        ("UPDATE currentCommit SET appId = 'x'", "table currentCommit"),
        ("DROP TABLE app", "it has no table app"),
        ("DROP TABLE config", "it has no table config"),
        (
            "ALTER TABLE app RENAME TO a; CREATE VIEW app AS WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x FROM n) SELECT * FROM n",
            "it has no table app",
        ),
        ("PRAGMA application_id = 7", "another application's database (application_id 0x00000007)"),
        ("PRAGMA application_id = 1212957766", "holdfast db restore"),
        ("UPDATE deviceConfig SET targetValues = '{\"a b\":\"1\"}'", "no target can be made of it"),
    ] {
        let site = Site::new("M00012");
        site.execute(sql);
        let error = site.refused();
        assert!(error.contains(words), "{sql}: {error}");
    }
}

#[test]
fn torn_files_are_damaged_ones() {
    let site = Site::new("M00012");
    let whole = fs::read(site.file()).unwrap();
    for length in [101, 1000, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(site.file(), &whole[..length]).unwrap();
        let error = site.refused();
        assert!(error.contains("damaged") || error.contains("it has no table") || error.contains("cannot be read"), "{error}");
    }
}

#[test]
fn one_refused_app_does_not_hold_up_the_others() {
    let site = Site::new("M00012");
    site.execute(
        "INSERT INTO app (name, appId, \"commit\", releaseId, services, source, uuid) VALUES
           ('bad', 5, 'c', 1, '[{\"serviceName\":\"x\",\"serviceId\":1,\"imageId\":1,\"image\":\"\"}]', 'https://api.example.com', 'b')",
    );
    let imported = site.read().unwrap();
    assert!(imported.has_target);
    assert!(
        imported.remarks.iter().any(|remark| remark.contains("app bad") && remark.contains("image")),
        "{:?}",
        imported.remarks
    );
}
