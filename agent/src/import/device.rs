//! For whom something is imported.

use super::error::ImportError;
use crate::settings::Settings;
use crate::store::target_source;

/// The device that imports.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its uuid, the key of its target.
    pub uuid: String,
    /// Under which name its target is stored: `apiEndpoint`, or `local`.
    pub source: String,
    /// What it is called while nobody says otherwise.
    pub name: String,
    /// Whether it is known to its cloud already (protocol §9).
    pub provisioned: bool,
}

impl Device {
    /// The device these settings are of.
    ///
    /// # Errors
    /// When it has no uuid yet: nothing could be stored for it.
    pub fn of(settings: &Settings) -> Result<Device, ImportError> {
        let cloud = &settings.cloud;
        let Some(uuid) = cloud.uuid.clone() else {
            let next = "start the agent once it has one, or write it there";
            return Err(ImportError::file(&settings.config, "it names no uuid, so nobody knows which device this is", next));
        };
        Ok(Device {
            uuid,
            source: target_source(&cloud.api_endpoint).to_owned(),
            // balena's default name (protocol §10).
            name: cloud.initial_device_name.clone().unwrap_or_else(|| "local".to_owned()),
            provisioned: !cloud.api_endpoint.is_empty() && cloud.registered_at.is_some() && cloud.device_id.is_some(),
        })
    }
}
