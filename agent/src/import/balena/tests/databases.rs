//! Databases as balena-supervisor's migrations make them, with the rows a device of that age has.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;

use super::super::*;
use crate::store::{Loaded, SqliteStore, Store};

pub(super) const CLOUD: &str = "https://api.example.com";
pub(super) const UUID: &str = "0123456789abcdef0123456789abcdef";
pub(super) const APP: &str = "11111111222222223333333344444444";
pub(super) const IMAGE: &str =
    "registry2.example.com/v2/ab@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const KEY: &str = "00112233445566778899aabbccddeeff";
pub(super) const GLOBAL: &str = "ffeeddccbbaa99887766554433221100";

/// The migrations in order; before the first there were none.
pub(super) const AGES: [&str; 21] = [
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

pub(super) fn at(age: &str) -> usize {
    AGES.iter().position(|name| *name == age).unwrap()
}

/// What a migration does to the schema, as far as it is about tables that are read.
pub(super) fn step(age: &str) -> &'static str {
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
pub(super) fn rows(age: usize) -> Vec<String> {
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

pub(super) fn app_row(age: usize) -> String {
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
pub(super) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new(age: &str) -> Site {
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

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn file(&self) -> PathBuf {
        self.data().join("balena-supervisor/database.sqlite")
    }

    pub(super) fn execute(&self, sql: &str) {
        Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }

    pub(super) fn device(&self) -> Device {
        Device { uuid: UUID.into(), source: CLOUD.into(), name: "local".into(), provisioned: true }
    }

    /// Name, content, mode and times of everything beside the database.
    pub(super) fn originals(&self) -> Vec<(PathBuf, Vec<u8>, u32, i64, i64, u64)> {
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
    pub(super) fn read(&self) -> Result<Imported, ImportError> {
        let before = self.originals();
        let read = super::read(&self.file(), &self.device(), &self.data());
        assert_eq!(self.originals(), before, "the original was touched");
        assert!(!self.data().join("import.tmp").exists(), "the copy was left");
        read
    }

    pub(super) fn refused(&self) -> String {
        let error = self.read().unwrap_err().to_string();
        assert!(error.contains("nothing was imported") && error.contains("database.sqlite"), "{error}");
        error
    }

    /// What a store holds after the import.
    pub(super) async fn stored(&self, imported: &Imported) -> Loaded {
        let store = SqliteStore::open(&self.data(), &self.data().join("database.sqlite")).unwrap();
        store.commit(imported.changes.clone()).await.unwrap();
        drop(store);
        let store = SqliteStore::open(&self.data(), &self.data().join("database.sqlite")).unwrap();
        store.load(CLOUD, UUID).await.unwrap()
    }
}
