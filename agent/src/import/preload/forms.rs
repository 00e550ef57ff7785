//! The three forms of the file.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::compose::{definitions, service};
use super::super::error::ImportError;
use super::{MEND, Preload, single};

/// In the second form apps have no uuid. The cloud would have to be asked; a device that has to start without one takes the
/// number, as balena does for apps of its own.
const NO_UUID: &str = "its apps are known by number only: their containers are made anew once the cloud has said their uuid, \
                       volumes stay";

/// Reads any of them: a list is the first form, a numeric key among the apps means the second.
pub(super) fn read(file: &Path, document: &Value) -> Result<Preload, ImportError> {
    let wrong = |what: &str| ImportError::file(file, what, MEND);
    let members = match document {
        Value::Array(apps) => return single::read(file, apps),
        Value::Object(members) => members,
        _ => return Err(wrong("it is neither an object nor a list")),
    };
    let config = object(members.get("config")).ok_or_else(|| wrong("config: it is not an object"))?;
    let apps = object(members.get("apps")).ok_or_else(|| wrong("apps: it is not an object"))?;
    let by_number = apps.keys().any(|key| is_number(key));
    let mut read = Map::new();
    for (key, app) in apps {
        let app = app.as_object().ok_or_else(|| wrong(&format!("apps.{key}: it is not an object")))?;
        let app = if by_number { numbered(file, &key.clone(), app)? } else { Value::Object(app.clone()) };
        if app["releases"].as_object().is_none_or(Map::is_empty) {
            return Err(wrong(&format!("apps.{key}: it has no release")));
        }
        read.insert(key.clone(), app);
    }
    let pin_device = members.get("pinDevice").is_some_and(|pin| *pin == json!(true));
    Ok(Preload { config: Value::Object(config.clone()), apps: read, pin_device, remark: by_number.then_some(NO_UUID) })
}

fn object(value: Option<&Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(members)) => Some(members.clone()),
        Some(_) => None,
    }
}

/// A number of the cloud's; a uuid of nothing but digits is too long for one.
fn is_number(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_digit()) && key.parse::<u64>().is_ok()
}

/// An app of the second form (protocol §4.1).
pub(in super::super) fn numbered(file: &Path, id: &str, app: &Map<String, Value>) -> Result<Value, ImportError> {
    let mut services = Map::new();
    for (service_id, described) in app.get("services").and_then(Value::as_object).into_iter().flatten() {
        let name = described.get("serviceName").and_then(Value::as_str);
        let (Some(described), Some(name)) = (described.as_object(), name) else {
            let what = format!("apps.{id}.services.{service_id}: it has no serviceName");
            return Err(ImportError::file(file, what, MEND));
        };
        let mut described = described.clone();
        described.insert("serviceId".to_owned(), json!(service_id));
        services.insert(name.to_owned(), service(&described));
    }
    let mut releases = Map::new();
    if let Some(commit) = app.get("commit").and_then(Value::as_str) {
        let release = json!({
            "id": app.get("releaseId").cloned().unwrap_or_else(|| json!(1)), "services": services,
            "networks": definitions(app.get("networks")), "volumes": definitions(app.get("volumes")),
        });
        releases.insert(commit.to_owned(), release);
    }
    let name = app.get("name").and_then(Value::as_str).unwrap_or(id);
    Ok(json!({ "id": id, "name": name, "class": "fleet", "releases": releases }))
}
