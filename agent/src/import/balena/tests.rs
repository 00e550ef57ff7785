//! Databases of every age, made as balena-supervisor's migrations make them, and broken ones.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use holdfast_plan::target::parse;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::json;

use super::*;
use crate::store::{Change, Loaded, SqliteStore, Store, StoredTarget};

const CLOUD: &str = "https://api.example.com";
const UUID: &str = "0123456789abcdef0123456789abcdef";
const APP: &str = "11111111222222223333333344444444";
const IMAGE: &str = "registry2.example.com/v2/ab@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const KEY: &str = "00112233445566778899aabbccddeeff";
const GLOBAL: &str = "ffeeddccbbaa99887766554433221100";

/// The migrations in order; before the first there were none.
const AGES: [&str; 21] = [
    "",
    "20171129013519_legacy",
    "20171129064057_multicontainer",
    "20171214172530_image_docker_id",
    "20180516164000-endpoint-specific-apps",
    "20181907164000-endpoint-specific-logschannel",
    "20190619152500-engine-snapshot",
    "M00000",
    "M00001",
    "M00002",
    "M00003",
    "M00004",
    "M00005",
    "M00006",
    "M00007",
    "M00008",
    "M00009",
    "M00010",
    "M00011",
    "M00012",
    "M00013",
];

fn at(age: &str) -> usize {
    AGES.iter().position(|name| *name == age).unwrap()
}

/// What a migration does to the schema, as far as it is about tables that are read.
fn step(age: &str) -> &'static str {
    match age {
        "" => {
            "CREATE TABLE config (key varchar(255), value varchar(255), PRIMARY KEY (key));
             CREATE TABLE deviceConfig (\"values\" json, targetValues json);
             CREATE TABLE app (id integer not null primary key autoincrement, name varchar(255), containerName varchar(255),
               \"commit\" varchar(255), imageId varchar(255), appId varchar(255), privileged boolean, env json, config json,
               markedForDeletion boolean);
             CREATE TABLE image (id integer not null primary key autoincrement, repoTag varchar(255));"
        }
        "20171129013519_legacy" => {
            "DROP TABLE image;
             CREATE TABLE knex_migrations (id integer not null primary key autoincrement, name varchar(255), batch integer,
               migration_time datetime);
             CREATE TABLE knex_migrations_lock (\"index\" integer not null primary key autoincrement, is_locked integer);"
        }
        "20171129064057_multicontainer" => {
            "DROP TABLE app; DROP TABLE deviceConfig; CREATE TABLE deviceConfig (targetValues json);
             CREATE TABLE app (id integer not null primary key autoincrement, name varchar(255), releaseId integer,
               \"commit\" varchar(255), appId integer, services json, networks json, volumes json);
             CREATE TABLE image (id integer not null primary key autoincrement, name varchar(255), appId integer,
               serviceId integer, serviceName varchar(255), imageId integer, releaseId integer, dependent boolean);"
        }
        "20171214172530_image_docker_id" => "ALTER TABLE image ADD COLUMN dockerImageId varchar(255);",
        "20180516164000-endpoint-specific-apps" => "ALTER TABLE app ADD COLUMN source varchar(255);",
        "20181907164000-endpoint-specific-logschannel" => {
            "CREATE TABLE logsChannelSecret (backend varchar(255), secret varchar(255));"
        }
        "20190619152500-engine-snapshot" => "CREATE TABLE engineSnapshot (snapshot varchar(255), timestamp varchar(255));",
        "M00004" => "CREATE TABLE containerLogs (containerId varchar(255), lastSentTimestamp integer);",
        "M00005" => {
            "CREATE TABLE apiSecret (id integer not null primary key autoincrement, appId integer, serviceId integer,
               key varchar(255), scopes varchar(255));"
        }
        "M00006" => {
            "CREATE TABLE currentCommit (id integer not null primary key, appId integer not null, \"commit\" varchar(255) not null);
             CREATE UNIQUE INDEX currentcommit_appid_unique ON currentCommit (appId);"
        }
        "M00007" => {
            "ALTER TABLE apiSecret ADD COLUMN serviceName varchar(255); ALTER TABLE apiSecret DROP COLUMN serviceId;
             CREATE UNIQUE INDEX apisecret_appid_servicename_unique ON apiSecret (appId, serviceName);"
        }
        "M00008" => {
            "ALTER TABLE app ADD COLUMN uuid varchar(255); ALTER TABLE app ADD COLUMN class varchar(255) DEFAULT 'fleet';
             ALTER TABLE app ADD COLUMN isHost boolean DEFAULT '0'; CREATE UNIQUE INDEX app_uuid_unique ON app (uuid);
             ALTER TABLE image ADD COLUMN appUuid varchar(255); ALTER TABLE image ADD COLUMN \"commit\" varchar(255);"
        }
        "M00010" => "ALTER TABLE image DROP COLUMN dependent;",
        "M00011" => "DROP TABLE containerLogs;",
        "M00012" => "ALTER TABLE app ADD COLUMN rejected boolean DEFAULT 0;",
        _ => "",
    }
}

/// The rows a device of that age has.
fn rows(age: usize) -> Vec<String> {
    let mut rows = vec![
        "INSERT INTO config VALUES ('name', 'quiet-river'), ('targetStateSet', 'true'), ('delta', 'true'),
           ('targetTags', '{\"a\":\"b\"}'), ('pinDevice', 'null'), ('logsChannelSecret', 'x')"
            .to_owned(),
    ];
    if age < at("20171129064057_multicontainer") {
        rows.push("INSERT INTO deviceConfig VALUES ('{\"RESIN_HOST_CONFIG_gpu_mem\":\"16\"}', '{}')".to_owned());
        rows.push(format!(
            "INSERT INTO app (name, \"commit\", imageId, appId, privileged, env, config) VALUES
               ('fleet', 'c0ffee', '{IMAGE}', '1234', 1, '{{\"A\":\"1\"}}', '{{}}')"
        ));
        return rows;
    }
    let prefix = if age < at("M00000") { "RESIN_" } else { "" };
    rows.push(format!("INSERT INTO deviceConfig VALUES ('{{\"{prefix}HOST_CONFIG_gpu_mem\":\"16\"}}')"));
    rows.push(app_row(age));
    rows.push(format!(
        "INSERT INTO image (name, appId, serviceId, serviceName, imageId, releaseId) VALUES
           ('{IMAGE}', 1234, 7, 'main', 98, 54), ('{IMAGE}', 1234, 7, 'main', 99, 55), ('not an image@x', 1, 1, 'x', 1, 1)"
    ));
    if age >= at("20171214172530_image_docker_id") {
        rows.push("UPDATE image SET dockerImageId = 'sha256:engine' WHERE releaseId = 55".to_owned());
    }
    if age >= at("M00007") {
        rows.push(format!(
            "INSERT INTO apiSecret (appId, serviceName, key, scopes) VALUES (0, NULL, '{GLOBAL}', '[{{\"type\":\"global\"}}]'),
               (1234, 'main', '{KEY}', '[{{\"type\":\"app\",\"appId\":1234}}]'), (9, NULL, '{KEY}', '[]')"
        ));
    } else if age >= at("M00005") {
        rows.push(format!(
            "INSERT INTO apiSecret (appId, serviceId, key, scopes) VALUES (0, 0, '{GLOBAL}', '[]'), (1234, 7, '{KEY}', '[]')"
        ));
    } else {
        rows.push(format!("INSERT INTO config VALUES ('apiSecret', '{KEY}')"));
    }
    rows.push(if age >= at("M00006") {
        "INSERT INTO currentCommit VALUES (1, 1234, 'c0ffee')".to_owned()
    } else {
        "INSERT INTO config VALUES ('currentCommit', 'c0ffee')".to_owned()
    });
    rows
}

fn app_row(age: usize) -> String {
    // Up to version 2 of the target compose fields stood beside the identity; since then they have a place of their own.
    let compose = json!({ "restart": "always", "ports": ["80:80"], "volumes": ["data:/data"], "networks": {"default": null} });
    let mut service = json!({
        "appId": 1234, "releaseId": 55, "commit": "c0ffee", "imageId": 99, "serviceId": 7, "serviceName": "main",
        "image": IMAGE, "running": true, "environment": {"A": "1"}, "labels": {"io.balena.features.supervisor-api": "1"},
    });
    let members = service.as_object_mut().unwrap();
    if age >= at("M00008") {
        members.extend([("composition".to_owned(), compose), ("appUuid".to_owned(), json!(APP))]);
    } else {
        members.extend(compose.as_object().unwrap().clone());
    }
    let services = json!([service]).to_string();
    let mut columns = vec!["name, releaseId, \"commit\", appId, services, networks, volumes".to_owned()];
    let mut values = vec![format!("'fleet', 55, 'c0ffee', 1234, '{services}', '{{}}', '{{\"data\":{{}}}}'")];
    if age >= at("20180516164000-endpoint-specific-apps") {
        columns.push("source".to_owned());
        values.push(format!("'{CLOUD}'"));
    }
    if age >= at("M00008") {
        columns.push("uuid, class, isHost".to_owned());
        values.push(format!("'{APP}', 'fleet', 0"));
    }
    format!("INSERT INTO app ({}) VALUES ({})", columns.join(", "), values.join(", "))
}

/// A device with a database of that age.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(age: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(site.file().parent().unwrap()).unwrap();
        let database = Connection::open(site.file()).unwrap();
        for age in &AGES[..=at(age)] {
            database.execute_batch(step(age)).unwrap();
            if !age.is_empty() {
                database.execute("INSERT INTO knex_migrations (name, batch) VALUES (?1 || '.js', 1)", [age]).unwrap();
            }
        }
        rows(at(age)).iter().for_each(|row| database.execute_batch(row).unwrap());
        site
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.data().join("balena-supervisor/database.sqlite")
    }

    fn execute(&self, sql: &str) {
        Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }

    fn device(&self) -> Device {
        Device { uuid: UUID.into(), source: CLOUD.into(), name: "local".into(), provisioned: true }
    }

    /// Name, content, mode and times of everything beside the database.
    fn originals(&self) -> Vec<(PathBuf, Vec<u8>, u32, i64, i64, u64)> {
        let files = fs::read_dir(self.file().parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = files
            .map(|path| {
                let found = fs::metadata(&path).unwrap();
                let content = fs::read(&path).unwrap();
                (path, content, found.mode(), found.mtime(), found.mtime_nsec(), found.ino())
            })
            .collect();
        all.sort();
        all
    }

    /// Reads the database and sees to it that nobody could tell.
    fn read(&self) -> Result<Imported, ImportError> {
        let before = self.originals();
        let read = super::read(&self.file(), &self.device(), &self.data());
        assert_eq!(self.originals(), before, "the original was touched");
        assert!(!self.data().join("import.tmp").exists(), "the copy was left");
        read
    }

    fn refused(&self) -> String {
        let error = self.read().unwrap_err().to_string();
        assert!(error.contains("nothing was imported") && error.contains("database.sqlite"), "{error}");
        error
    }

    /// What a store holds after the import.
    async fn stored(&self, imported: &Imported) -> Loaded {
        let store = SqliteStore::open(&self.data(), &self.data().join("database.sqlite")).unwrap();
        store.commit(imported.changes.clone()).await.unwrap();
        drop(store);
        let store = SqliteStore::open(&self.data(), &self.data().join("database.sqlite")).unwrap();
        store.load(CLOUD, UUID).await.unwrap()
    }
}

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
        let key_of_main = loaded.api_keys.get(&key(1234, "main")).map(String::as_str);
        assert_eq!(key_of_main, since("M00005").then_some(KEY), "{age}");
        assert_eq!(loaded.api_keys.get(&None).map(String::as_str), since("M00005").then_some(GLOBAL), "{age}");
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
