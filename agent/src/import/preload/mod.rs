//! `apps.json`: what a device is to run before it ever reached its cloud (protocol §4.2).

mod forms;
mod single;

pub(super) use forms::numbered;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::device::Device;
use super::document::{self, Entry};
use super::error::ImportError;
use super::imported::Imported;
use super::small_file;
use crate::settings::Settings;

/// Under which name the store keeps which file was loaded: an interrupted start does not load it again.
pub(super) const LOADED: &str = "preload_loaded";

/// Where the file may lie, the reference's place first: data partition, boot partition, the agent's own data directory.
pub(super) fn places(settings: &Settings) -> Vec<PathBuf> {
    let root = &settings.host_root;
    vec![root.join("mnt/data/apps.json"), root.join("mnt/boot/apps.json"), settings.data_dir.join("apps.json")]
}

/// Tells a file from another one.
pub(super) fn digest(text: &str) -> String {
    crate::settings::sha256(text.as_bytes())
}

/// Reads one. A file without apps brings nothing, which is how balena leaves it behind; a target without apps would remove
/// everything.
pub(super) fn read(file: &Path, text: &str, device: &Device) -> Result<Imported, ImportError> {
    let preload = forms::read(file, &small_file::json(file, text)?)?;
    let mut imported = Imported::default();
    if preload.apps.is_empty() {
        return Ok(imported);
    }
    let pin = preload.pin();
    let entry = Entry { name: None, config: preload.config, apps: preload.apps };
    let target = document::add(&mut imported, file, device, &device.source, entry)?;
    let refused = document::refusals(&target);
    if !refused.is_empty() {
        // Somebody put this together as a whole: half of it is not what was meant.
        return Err(ImportError::file(file, refused.join("; "), MEND));
    }
    imported.remarks.extend(preload.remark.map(str::to_owned));
    if let Some((app, commit)) = pin {
        imported.value("pinDevice", json!({ "app": app, "commit": commit }).to_string());
        imported.taken.push(format!("the wish to be pinned to release {commit}"));
    }
    imported.value(LOADED, digest(text));
    Ok(imported)
}

const MEND: &str = "mend the file and start the agent again";

/// What one file says, in today's form.
pub(super) struct Preload {
    config: Value,
    apps: serde_json::Map<String, Value>,
    pin_device: bool,
    remark: Option<&'static str>,
}

impl Preload {
    /// The release the device wants to be pinned to once it is known to its cloud: that of the fleet's app.
    fn pin(&self) -> Option<(u64, String)> {
        let mut apps = self.apps.values().filter(|app| app["class"].as_str().is_none_or(|class| class == "fleet"));
        let app = apps.next().filter(|_| self.pin_device)?;
        let id = app["id"].as_u64().or_else(|| app["id"].as_str()?.parse().ok())?;
        Some((id, app["releases"].as_object()?.keys().next()?.clone()))
    }
}
