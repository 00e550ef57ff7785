//! The cloud's answers, read within limits, with the call they belong to in every error.

use std::time::Duration;

use reqwest::Response;

use super::CloudError;
use crate::http::{self, BodyError, Limits, shorten};

/// Reads the whole body as text.
pub(super) async fn read_text(response: Response, limits: Limits, call: &str) -> Result<String, CloudError> {
    let call = || call.to_owned();
    http::read_text(response, limits).await.map_err(|error| match error {
        BodyError::TooLarge { limit_bytes } => CloudError::TooLarge { call: call(), limit_bytes },
        BodyError::TimedOut { phase, limit } => CloudError::TimedOut { call: call(), phase, limit },
        BodyError::BrokeOff { received, cause } => CloudError::BrokeOff { call: call(), received, cause },
        BodyError::NotText => CloudError::NotATarget("it is not UTF-8 text".into()),
    })
}

/// The beginning of an error's body, as far as it helps a person: one short line, and HTML only named.
pub(super) async fn excerpt(response: Response, call: &str) -> String {
    let limits = Limits { size_bytes: 16 * 1024, idle: Duration::from_secs(5), total: Duration::from_secs(10) };
    let text = read_text(response, limits, call).await.unwrap_or_default();
    match shorten(&text) {
        short if short.is_empty() => short,
        short => format!(": {short}"),
    }
}
