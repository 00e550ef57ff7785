//! The JSON file that older tools of this kind keep their state in: apps by number, each with a list of services whose
//! compose fields stand in `config`.
//!
//! ```json
//! { "apps": { "1001": { "appId": 1001, "appName": "web", "services": [
//!     { "serviceId": 1, "serviceName": "nginx", "imageName": "nginx:1", "config": { "ports": ["80:80"] } } ] } } }
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::compose::{definitions, service};
use super::device::Device;
use super::document::{self, Entry};
use super::error::ImportError;
use super::imported::Imported;
use super::small_file;
use crate::settings::Settings;

/// What the release is called where nobody gave it a name.
const COMMIT: &str = "imported";

const MEND: &str = "mend the file, or move it away";

/// Where the file is looked for.
pub(super) fn place(settings: &Settings) -> PathBuf {
    settings.data_dir.join("state.json")
}

/// Whether a text is of this form: its apps have lists of services, a preload's have not.
pub(super) fn is_one(text: &str) -> bool {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    apps(&document).is_some_and(|apps| apps.values().any(|app| app["services"].is_array()))
}

/// The apps, also where a snapshot is wrapped around them.
fn apps(document: &Value) -> Option<&Map<String, Value>> {
    let state = document.get("state").unwrap_or(document);
    state.get("apps").and_then(Value::as_object)
}

/// Reads one.
pub(super) fn read(file: &Path, text: &str, device: &Device) -> Result<Imported, ImportError> {
    let document = small_file::json(file, text)?;
    let mut imported = Imported::default();
    let Some(found) = apps(&document) else { return Err(ImportError::file(file, "it has no apps", MEND)) };
    if found.is_empty() {
        return Ok(imported);
    }
    let mut read = Map::new();
    for (key, described) in found {
        let (id, app) = app(file, key, described)?;
        read.insert(id, app);
    }
    let entry = Entry { name: None, config: Value::Null, apps: read };
    let target = document::add(&mut imported, file, device, &device.source, entry)?;
    let refused = document::refusals(&target);
    if !refused.is_empty() {
        return Err(ImportError::file(file, refused.join("; "), MEND));
    }
    let remark = "containers the older tool made are not known here: end it and remove them, or their ports stay taken";
    imported.remarks.push(remark.to_owned());
    Ok(imported)
}

fn app(file: &Path, key: &str, described: &Value) -> Result<(String, Value), ImportError> {
    let wrong = |what: &str| ImportError::file(file, format!("apps.{key}: {what}"), MEND);
    let id = match described.get("appId") {
        Some(Value::Number(id)) => id.to_string(),
        Some(Value::String(id)) => id.clone(),
        _ => key.to_owned(),
    };
    let Some(list) = described["services"].as_array() else { return Err(wrong("services: it is not a list")) };
    let mut services = Map::new();
    let mut volumes = definitions(described.get("volumes"));
    for (index, described) in list.iter().enumerate() {
        let name = described.get("serviceName").and_then(Value::as_str);
        let Some(name) = name else { return Err(wrong(&format!("services[{index}] has no serviceName"))) };
        let one = one_service(described);
        name_volumes(&one, &mut volumes);
        services.insert(name.to_owned(), one);
    }
    let text = |key: &str| described.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let release = json!({
        "id": described.get("releaseId").filter(|id| !id.is_null()).cloned().unwrap_or_else(|| json!(1)),
        "services": services, "networks": definitions(described.get("networks")), "volumes": volumes,
    });
    let name = text("appName").or(text("name")).unwrap_or(&id);
    let app = json!({
        "id": id, "name": name, "class": "fleet", "releases": { text("commit").unwrap_or(COMMIT): release },
    });
    Ok((id, app))
}

/// The compose fields stand in `config`, written out or as a text of JSON; the image beside it or in it.
fn one_service(described: &Value) -> Value {
    let config = match &described["config"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        config => config.clone(),
    };
    let mut fields = config.as_object().cloned().unwrap_or_default();
    // An app's networks have to be described for a service to join them; here nobody described any.
    fields.remove("networks");
    let image = described.get("imageName").or_else(|| described.get("image")).filter(|image| image.is_string()).cloned();
    fields.extend(image.map(|image| ("image".to_owned(), image)));
    for key in ["serviceId", "imageId"] {
        if let Some(id) = described.get(key).or_else(|| described.get("serviceId")).filter(|id| !id.is_null()) {
            fields.insert(key.to_owned(), id.clone());
        }
    }
    service(&fields)
}

/// Describes the volumes a service names: the older tool made them as they were met.
fn name_volumes(service: &Value, volumes: &mut Value) {
    for mount in service["composition"]["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let name = mount.split(':').next().unwrap_or_default();
        if mount.contains(':') && !name.starts_with(['/', '.', '~']) && volumes.get(name).is_none() {
            volumes[name] = json!({});
        }
    }
}
