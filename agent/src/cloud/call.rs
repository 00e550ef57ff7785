//! What every call to the cloud shares: its address and key, its limits of time, the head of its answer, a refusal.

use std::time::Duration;

use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::time::timeout;

use super::CloudError;
use super::body::excerpt;
use super::retry::retry_after;
use crate::http;

/// How long each phase of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, connection and TLS.
    pub connect: Duration,
    /// From the connection to the head of the answer.
    pub head: Duration,
    /// The longest silence within the body.
    pub body_idle: Duration,
    /// The whole body.
    pub body_total: Duration,
}

impl Timeouts {
    /// One limit for every phase (`SUPERVISOR_API_REQUEST_TIMEOUT`); a whole body may take ten times as long.
    pub fn per_phase(limit: Duration) -> Timeouts {
        Timeouts { connect: limit, head: limit, body_idle: limit, body_total: limit.saturating_mul(10) }
    }
}

impl Default for Timeouts {
    /// 59 s, just below the usual gateway's minute (protocol §2).
    fn default() -> Self {
        Timeouts::per_phase(Duration::from_secs(59))
    }
}

/// The base address that a key of config.json names.
pub(super) fn base_url(key: &str, endpoint: &str) -> Result<Url, CloudError> {
    let wrong = |why: &str| CloudError::Settings(format!("{key} \"{endpoint}\" in config.json {why}"));
    let url = Url::parse(endpoint).map_err(|error| wrong(&format!("is not an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is not an http or https address"));
    }
    Ok(url)
}

/// An address below the base, each segment escaped.
pub(super) fn below(base: &Url, segments: &[&str]) -> Result<Url, CloudError> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| CloudError::Settings(format!("nothing can stand below the address \"{base}\"")))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// The header that carries a key of config.json.
pub(super) fn bearer(name: &str, key: &str) -> Result<HeaderValue, CloudError> {
    let wrong = |_| CloudError::Settings(format!("{name} in config.json holds characters that no key has"));
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends a request and waits for the head of the answer.
pub(super) async fn head(timeouts: Timeouts, request: RequestBuilder, call: &str) -> Result<Response, CloudError> {
    let limit = timeouts.connect + timeouts.head;
    let timed_out = |phase, limit| CloudError::TimedOut { call: call.to_owned(), phase, limit };
    match timeout(limit, request.send()).await {
        Err(_) => Err(timed_out("waiting for the answer to begin", limit)),
        Ok(Err(error)) if error.is_timeout() && error.is_connect() => Err(timed_out("connecting", timeouts.connect)),
        Ok(Err(error)) => Err(CloudError::Unreachable { call: call.to_owned(), cause: http::chain(&error.without_url()) }),
        Ok(Ok(response)) => Ok(response),
    }
}

/// The error for a status that is not success.
pub(super) async fn refusal(response: Response, call: String, unauthorised: &'static str) -> CloudError {
    let retry_after = retry_after(response.headers());
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        return CloudError::Unauthorised { call, meaning: unauthorised, retry_after };
    }
    let message = if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        format!(": a redirection to {}, which is not followed", http::shorten(to))
    } else {
        excerpt(response, &call).await
    };
    CloudError::Status { call, status: status.as_u16(), message, retry_after }
}
