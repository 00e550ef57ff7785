//! The calls the agent makes to the cloud, as a trait, so that the loops can be run against a fake.

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
}
