//! Tables `config` and `deviceConfig`: named values, and the device variables of the target (protocol §10).

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::error::ImportError;
use super::super::imported::Imported;
use super::table::Tables;

/// What is kept under balena's own names: the device's name and tags, a pin that waits for provisioning, what was reported,
/// and the switches in force. Everything else is made anew, or stands in config.json.
const KEPT: [&str; 22] = [
    "name",
    "pinDevice",
    "targetTags",
    "reportedTags",
    "initialConfigReported",
    "initialConfigSaved",
    "apiRequestTimeout",
    "connectivityCheckEnabled",
    "delta",
    "deltaApplyTimeout",
    "deltaRequestTimeout",
    "deltaRetryCount",
    "deltaRetryInterval",
    "deltaVersion",
    "firewallMode",
    "hardwareMetrics",
    "hostDiscoverability",
    "instantUpdates",
    "localMode",
    "lockOverride",
    "loggingEnabled",
    "persistentLogging",
];

/// Those of them that are JSON.
const JSON: [&str; 3] = ["pinDevice", "targetTags", "reportedTags"];

/// Table `config`.
pub(super) struct Config {
    values: BTreeMap<String, String>,
}

impl Config {
    pub fn read(tables: &Tables<'_>) -> Result<Config, ImportError> {
        let mut values = BTreeMap::new();
        for row in tables.rows("config")? {
            let Some(key) = row.text("key") else { return Err(row.wrong("key", "it is empty")) };
            if JSON.contains(&key.as_str()) {
                row.json("value")?;
            }
            values.extend(row.text("value").map(|value| (key, value)));
        }
        Ok(Config { values })
    }

    /// A value that is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty() && *value != "null")
    }

    /// The same as a text of its own, on one line.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|text| text.replace(['\n', '\r'], " "))
    }

    /// A switch.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(crate::policy::truthy)
    }
}

/// The device variables of the target. Old versions keep the names with their prefixes, later ones without: both are read.
pub(super) fn device_config(tables: &Tables<'_>) -> Result<Value, ImportError> {
    let Some(row) = tables.rows("deviceConfig")?.into_iter().next() else { return Ok(Value::Null) };
    match row.json("targetValues")? {
        values @ (Value::Object(_) | Value::Null) => Ok(values),
        _ => Err(row.wrong("targetValues", "it is not an object")),
    }
}

/// Adds what is kept.
pub(super) fn add(imported: &mut Imported, config: &Config) {
    let kept: Vec<(&str, &str)> = KEPT.iter().filter_map(|key| Some((*key, config.get(key)?))).collect();
    for (key, value) in &kept {
        imported.value(key, *value);
    }
    if !kept.is_empty() {
        imported.taken.push(format!("{} named value(s)", kept.len()));
    }
}
