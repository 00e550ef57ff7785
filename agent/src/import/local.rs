//! The target that a developer sets on a device in local mode (protocol §4.1).

use std::path::Path;

use serde_json::{Map, Value, json};

use super::compose::texts;
use super::preload::numbered;

/// Turns it into the cloud's form: balena's with `local` in it, or already a document of the cloud's for this device.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn local_target(given: &Value, uuid: &str) -> Result<Value, String> {
    if given.get(uuid).is_some_and(Value::is_object) {
        return Ok(json!({ uuid: given[uuid] }));
    }
    let Some(local) = given.get("local").and_then(Value::as_object) else {
        return Err("it has no member \"local\" with the target in it, and none for this device".into());
    };
    let Some(given) = local.get("apps").and_then(Value::as_object) else { return Err("local.apps: expected an object".into()) };
    let mut apps = Map::new();
    for (id, app) in given {
        let Some(app) = app.as_object() else { return Err(format!("local.apps.{id}: expected an object")) };
        if id.parse::<u64>().is_err() {
            return Err(format!("local.apps.{id}: expected the numeric id of an app"));
        }
        // In any other form it would count as an app without services, and its containers would go.
        if app.get("services").is_some_and(|services| !services.is_object()) {
            return Err(format!("local.apps.{id}.services: expected an object"));
        }
        let app = numbered(Path::new("local"), id, app).map_err(|error| error.what)?;
        apps.insert(id.clone(), app);
    }
    let name = local.get("name").and_then(Value::as_str).unwrap_or("local");
    Ok(json!({ uuid: { "name": name, "config": texts(local.get("config")), "apps": apps } }))
}
