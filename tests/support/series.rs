//! Targets one after the other, every part of each different from every other's: a mixture of two would be none of them.

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Value, json};

use super::{App, Cloud, Device, Release, Service, device_target};

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";

/// The targets one device was given.
pub struct Series {
    device: String,
    app: App,
    releases: Vec<Release>,
    bodies: Vec<Value>,
}

impl Series {
    pub fn of(device: &Device) -> Series {
        Series { device: device.uuid.clone(), app: App::new(), releases: Vec::new(), bodies: Vec::new() }
    }

    /// Puts the next target into the cloud. Long enough that it takes several pages of the database.
    pub fn next(&mut self, cloud: &Cloud) {
        let name = format!("{}-{}", self.app.id, self.releases.len());
        let service = |which: &str| {
            let filled = (0..40)
                .fold(Service::new(IMAGE), |service, n| service.variable(&format!("NAME_{n}"), &format!("{which} {n} {name}")));
            filled.label("release", &name).label("io.balena.features.supervisor-api", "1")
        };
        let release = Release::new(&name).service("main", service("main")).service("other", service("other"));
        let entry = device_target(&[(&self.app, &release)], &[("HOLDFAST_HEALTH_TIMEOUT", "0"), ("SERIES", &name)]);
        self.bodies.push(json!({ self.device.clone(): entry }));
        self.releases.push(release);
        cloud.set_whole_target(self.bodies[self.bodies.len() - 1].clone());
    }

    /// The number of the newest; they count from 0.
    pub fn newest(&self) -> usize {
        self.releases.len() - 1
    }

    pub fn commit(&self, number: usize) -> &str {
        &self.releases[number].commit
    }

    /// Which one has this commit.
    pub fn with_commit(&self, commit: &str) -> Option<usize> {
        self.releases.iter().position(|release| release.commit == commit)
    }

    /// Which one this body is, as a whole.
    pub fn number_of(&self, body: &str) -> Result<usize, String> {
        let body: Value = serde_json::from_str(body).map_err(|error| format!("the stored target is no JSON: {error}"))?;
        self.bodies.iter().position(|known| *known == body).ok_or_else(|| format!("a target that never was: {body}"))
    }

    /// Which of them the app runs by what the device reported last.
    pub fn reported(&self, cloud: &Cloud) -> Option<usize> {
        self.with_commit(cloud.reported()["apps"][&self.app.uuid]["release_uuid"].as_str()?)
    }

    /// Waits until the device says that it settled on the newest.
    pub fn wait_settled(&self, device: &Device) {
        let commit = self.commit(self.newest());
        super::wait_for(&format!("the device to settle on {commit}"), || {
            let status = device.try_get("/v3/status").map_err(|error| error.to_string())?;
            let settled = status.json()["phase"].to_string().contains("\"settled\"");
            super::check(settled && status.text().contains(commit), status.text())
        });
    }

    /// What SQLite says of a database, and which target stands in it with which ETag.
    pub fn look_into(&self, database: &Connection) -> Result<Option<(usize, String)>, String> {
        let text =
            |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).map_err(|error| format!("{sql}: {error}"));
        let count =
            |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| format!("{sql}: {error}"));
        let verdict = text("PRAGMA integrity_check")?;
        super::check(verdict == "ok", format!("integrity_check: {verdict}"))?;
        let astray = count("SELECT count(*) FROM pragma_foreign_key_check")?;
        super::check(astray == 0, format!("{astray} rows refer to none"))?;
        let (stated, recorded) = (count("PRAGMA user_version")?, count("SELECT max(version) FROM migration")?);
        super::check(stated == recorded, format!("schema version {stated}, its records say {recorded}"))?;
        let targets = count("SELECT count(*) FROM stored_target")?;
        super::check(targets <= 1, format!("{targets} targets"))?;
        let row =
            database.query_row("SELECT body, etag FROM stored_target", [], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)));
        let row = row.optional().map_err(|error| error.to_string())?;
        row.map(|(body, etag)| Ok((self.number_of(&body)?, etag))).transpose()
    }
}
