//! Table `app`: the target, app by app.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::compose::{definitions, service};
use super::super::device::Device;
use super::super::error::ImportError;
use super::table::{Row, Tables};
use super::values::Config;
use crate::store::LOCAL_SOURCE;

/// The apps of one database.
#[derive(Default)]
pub(super) struct Apps {
    /// Those of the device's cloud by uuid; empty when one of them could not be told.
    pub of_cloud: BTreeMap<String, Value>,
    /// Those that were set on the device itself.
    pub local: BTreeMap<String, Value>,
    /// What every app with services was called: its uuid where it has one.
    pub uuids: BTreeMap<u64, String>,
    /// Commits of the apps' target releases.
    pub commits: BTreeMap<u64, String>,
    /// Services by app and id: before M00007 keys belonged to ids.
    pub services: BTreeMap<(u64, u64), String>,
    /// What was passed over.
    pub remarks: Vec<String>,
}

impl Apps {
    /// Reads the table.
    pub fn read(tables: &Tables<'_>, device: &Device, config: &Config) -> Result<Apps, ImportError> {
        let mut apps = Apps::default();
        let mut nameless = Vec::new();
        for row in tables.rows("app")? {
            if !row.has("services") {
                nameless.push(row.shown());
                continue;
            }
            apps.take(&row, device, config, &mut nameless)?;
        }
        if !nameless.is_empty() {
            // A target that leaves out what runs would remove it.
            apps.of_cloud.clear();
            apps.remarks.push(format!("app row(s) {} are from before apps had a uuid", nameless.join(", ")));
        }
        // A supervisor that never had a target may have rows of an interrupted start.
        if !apps.of_cloud.is_empty() && config.get("targetStateSet").is_some_and(|set| !crate::policy::truthy(set)) {
            apps.of_cloud.clear();
        }
        Ok(apps)
    }

    fn take(&mut self, row: &Row<'_>, device: &Device, config: &Config, nameless: &mut Vec<String>) -> Result<(), ImportError> {
        let id = row.needed_number("appId")?;
        let app = app(row, id, |service_id, name| drop(self.services.insert((id, service_id), name.to_owned())))?;
        self.commits.extend(row.text("commit").map(|commit| (id, commit)));
        let uuid = row.text("uuid").filter(|uuid| !uuid.is_empty());
        self.uuids.insert(id, uuid.clone().unwrap_or_else(|| id.to_string()));
        let source = row.text("source").unwrap_or_default();
        if source == LOCAL_SOURCE {
            self.local.insert(uuid.unwrap_or_else(|| id.to_string()), app);
        } else if !is_ours(&source, row, device, config) {
            self.remarks.push(format!("app row {} belongs to another cloud ({source})", row.shown()));
        } else if let Some(uuid) = uuid {
            self.of_cloud.insert(uuid, app);
        } else {
            nameless.push(row.shown());
        }
        Ok(())
    }
}

/// Whether a row is part of the target in force: that of this cloud, of a cloud an override names, or an app beside the
/// fleet's, which counts whatever its source (protocol §20).
fn is_ours(source: &str, row: &Row<'_>, device: &Device, config: &Config) -> bool {
    let same = |other: &str| source.trim_end_matches('/') == other.trim_end_matches('/');
    let beside = row.text("class").is_some_and(|class| class != "fleet");
    source.is_empty() || same(&device.source) || config.get("apiEndpointOverride").is_some_and(same) || beside
}

/// A row in the form of protocol §3.3.
fn app(row: &Row<'_>, id: u64, mut see: impl FnMut(u64, &str)) -> Result<Value, ImportError> {
    let Value::Array(described) = row.json("services")? else { return Err(row.wrong("services", "it is not a list")) };
    let mut services = Map::new();
    for one in &described {
        let Some(described) = one.as_object() else { return Err(row.wrong("services", "it holds something that is no service")) };
        let Some(name) = described.get("serviceName").and_then(Value::as_str) else {
            return Err(row.wrong("services", "a service has no serviceName"));
        };
        let service = service(described);
        see(service["id"].as_u64().unwrap_or_default(), name);
        services.insert(name.to_owned(), service);
    }
    let (networks, volumes) = (row.json("networks")?, row.json("volumes")?);
    let mut releases = Map::new();
    if let Some(commit) = row.text("commit").filter(|commit| !commit.is_empty()) {
        let release = json!({
            "id": row.number("releaseId").unwrap_or_default(), "services": services,
            "networks": definitions(Some(&networks)), "volumes": definitions(Some(&volumes)),
        });
        releases.insert(commit, release);
    }
    Ok(json!({
        "id": id, "name": row.text("name").unwrap_or_default(), "class": row.text("class").unwrap_or_else(|| "fleet".to_owned()),
        "is_host": row.flag("isHost"), "releases": releases,
    }))
}
