//! From the cloud's document to [`DeviceTarget`] (protocol §3.3).
//!
//! A rule broken outside the apps refuses the document: the previous target stays in force. A rule broken inside an app
//! refuses that app, with every offence in it, and the others go on. What fields of a composition lead to is said in
//! [`super::compose`].

mod app;
mod order;
mod release;
mod rules;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use super::reading::{Field, expected};
use super::{App, AppId, AppUuid, DeviceTarget, Offence, TargetError};

/// At most so many ports a document, ranges written out: what one device could ever publish, twice over.
const PORTS_PER_DOCUMENT: usize = 131_072;

/// Reads a target state document (protocol v3) for the device `uuid`.
///
/// # Errors
/// When the document as a whole cannot be this device's target. A rule broken inside one app refuses that app alone:
/// it then stands in [`DeviceTarget::refused`] with every offence.
pub fn parse(document: &Value, uuid: &str) -> Result<DeviceTarget, TargetError> {
    if !document.is_object() {
        return Err(shape("the document", expected("an object", document)));
    }
    let not_this = || TargetError::NotThisDevice { uuid: uuid.to_owned() };
    let device = Field::root(document.get(uuid).ok_or_else(not_this)?);
    if !device.value.is_object() {
        return Err(shape(uuid, expected("an object", device.value)));
    }
    let mut target = DeviceTarget { name: name(&device)?, config: config(&device)?, ..DeviceTarget::default() };
    let apps = required_object(&device, "apps")?;
    let mut ports_left = PORTS_PER_DOCUMENT;
    for (uuid, member) in apps.members() {
        match app::read(&member, uuid, &mut ports_left) {
            Ok(app) => drop(target.apps.insert(uuid.to_owned(), app)),
            Err(refused) => drop(target.refused.insert(uuid.to_owned(), refused)),
        }
    }
    refuse_shared_ids(&mut target);
    Ok(target)
}

/// Reads one app from its part of a document, as kept with a settled release; `None` when it cannot be read any more.
pub fn app_from_document(uuid: &str, document: &Value) -> Option<App> {
    app::read(&Field::root(document), uuid, &mut { PORTS_PER_DOCUMENT }).ok()
}

fn name(device: &Field<'_>) -> Result<String, TargetError> {
    let found = device.get("name");
    match found.and_then(|field| field.value.as_str()) {
        Some(name) if rules::is_short(name) && !name.contains(['\n', '\r']) => Ok(name.to_owned()),
        Some(_) => Err(shape("name", "expected at most 255 characters on one line".into())),
        None => Err(shape("name", expected("a string", found.map_or(&Value::Null, |field| field.value)))),
    }
}

fn config(device: &Field<'_>) -> Result<BTreeMap<String, String>, TargetError> {
    let mut config = BTreeMap::new();
    let field = required_object(device, "config")?;
    for (key, member) in field.members() {
        if !rules::is_config_variable(key) {
            return Err(shape(&member.path(), "its name is too long or has characters that are not allowed there".into()));
        }
        let Some(text) = member.value.as_str() else {
            return Err(shape(&member.path(), expected("a string", member.value)));
        };
        config.insert(key.to_owned(), text.to_owned());
    }
    Ok(config)
}

fn required_object<'a>(device: &'a Field<'a>, key: &'a str) -> Result<Field<'a>, TargetError> {
    let found = device.get(key);
    let value = found.map_or(&Value::Null, |field| field.value);
    found.filter(|field| field.value.is_object()).ok_or_else(|| shape(key, expected("an object", value)))
}

/// Containers, volumes and lock files are told apart by the numeric id: two apps with one id would take each other's for
/// their own. The host's app has none of these.
fn refuse_shared_ids(target: &mut DeviceTarget) {
    let mut by_id: BTreeMap<AppId, Vec<AppUuid>> = BTreeMap::new();
    for app in target.apps.values().filter(|app| !app.is_host) {
        by_id.entry(app.id).or_default().push(app.uuid.clone());
    }
    for (id, uuids) in by_id.into_iter().filter(|(_, uuids)| uuids.len() > 1) {
        for uuid in uuids {
            let message = format!("another app of the target has the id {id} too");
            let offence = Offence { path: format!("apps.{uuid}.id"), message };
            let refused = target.apps.remove(&uuid).map(|app: App| app::refused(app, offence));
            target.refused.extend(refused.map(|refused| (uuid, refused)));
        }
    }
}

fn shape(path: &str, message: String) -> TargetError {
    TargetError::Shape(Offence { path: path.to_owned(), message })
}
