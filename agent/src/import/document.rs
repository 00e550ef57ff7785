//! The target document that an import makes, read back at once as every start of the agent will.

use std::path::Path;

use holdfast_plan::target::{DeviceTarget, parse};
use serde_json::{Map, Value, json};

use super::compose::texts;
use super::device::Device;
use super::error::ImportError;
use super::imported::Imported;
use crate::store::{Change, StoredTarget};

/// The largest number of offences named.
const NAMED: usize = 3;

/// One device's entry, before it is written down.
pub(super) struct Entry {
    /// The device's name, if it is known.
    pub name: Option<String>,
    /// Device variables.
    pub config: Value,
    /// Apps by uuid, as the cloud words them.
    pub apps: Map<String, Value>,
}

/// Makes the document, checks that it is a target, and adds it to what is imported.
///
/// # Errors
/// When the document as a whole would not be one; what is refused of single apps stands in the answer.
pub(super) fn add(
    imported: &mut Imported,
    file: &Path,
    device: &Device,
    source: &str,
    entry: Entry,
) -> Result<DeviceTarget, ImportError> {
    let name = entry.name.unwrap_or_else(|| device.name.clone());
    let entry = json!({ "name": name, "config": texts(Some(&entry.config)), "apps": entry.apps });
    let mut document = Map::new();
    document.insert(device.uuid.clone(), entry);
    let document = Value::Object(document);
    let target = parse(&document, &device.uuid).map_err(|error| {
        ImportError::file(file, format!("no target can be made of it: {error}"), "mend the file, or remove it")
    })?;
    let stored = StoredTarget { source: source.to_owned(), uuid: device.uuid.clone(), etag: None, body: document.to_string() };
    imported.change(Change::Target(stored));
    let names: Vec<&str> = target.apps.values().map(|app| app.name.as_str()).collect();
    imported.taken.push(format!("the target ({} app(s): {})", names.len(), names.join(", ")));
    Ok(target)
}

/// What is wrong with the apps that were refused, one line each.
pub(super) fn refusals(target: &DeviceTarget) -> Vec<String> {
    let line = |(uuid, refused): (&String, &holdfast_plan::target::RefusedApp)| {
        let offences: Vec<String> = refused.offences.iter().take(NAMED).map(ToString::to_string).collect();
        format!("app {}: {}", refused.name.as_ref().unwrap_or(uuid), offences.join("; "))
    };
    target.refused.iter().map(line).collect()
}
