//! The calls the agent makes to the cloud, as a trait, so that the loops can be run against a fake.

use std::collections::BTreeMap;

use super::CloudError;

/// Top-level fields of a report, without the uuid around them (protocol §6.2).
pub type Report = serde_json::Map<String, serde_json::Value>;

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAnswer {
    /// Status 304.
    Unchanged,
    /// Status 200.
    Body {
        /// The body, whatever it is.
        text: String,
        /// Its ETag, where it came with one that can be sent back.
        etag: Option<String>,
    },
}

/// A tag of the device, as the cloud has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTag {
    /// The cloud's id of it.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// The cloud.
#[async_trait::async_trait]
pub trait Cloud: Send + Sync {
    /// Asks for the target (protocol §3.1), naming the ETag of the one that is held.
    ///
    /// # Errors
    /// On every answer but 200 and 304, and when there is none within the limits of time and size.
    async fn target(&self, etag: Option<&str>) -> Result<TargetAnswer, CloudError>;

    /// Sends changed fields of the current state (protocol §6.1).
    ///
    /// # Errors
    /// On every answer but 2xx, and when there is none in time.
    async fn report(&self, fields: &Report) -> Result<(), CloudError>;

    /// Asks for the device's tags (protocol §8).
    ///
    /// # Errors
    /// On every answer but 200, and for a device that does not know its id in the cloud.
    async fn device_tags(&self) -> Result<Vec<DeviceTag>, CloudError> {
        Err(CloudError::Settings("tags are not known here".into()))
    }

    /// Sends tags of the device (protocol §7).
    ///
    /// # Errors
    /// On every answer but 2xx.
    async fn report_tags(&self, _tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
        Err(CloudError::Settings("tags are not known here".into()))
    }
}
