//! How a stream gets to the cloud.

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Url};

use super::LogBody;
use crate::cloud::CloudError;
use crate::cloud::call::refusal;
use crate::http::chain;

const REFUSED: &str = "the cloud does not accept log streams with this device's key";

/// The way of a stream. The suites have their own.
#[async_trait::async_trait]
pub trait LogTransport: Send + Sync {
    /// Sends a stream, packed with gzip, until its end and waits for the answer. Dropping the call closes the connection.
    ///
    /// # Errors
    /// When the connection fails or the cloud refuses the stream, in the midst of it too.
    async fn send(&self, body: LogBody) -> Result<(), CloudError>;
}

/// The way over HTTP ([`crate::cloud::Client::log_upload`]).
#[derive(Clone, Debug)]
pub struct LogUpload {
    http: reqwest::Client,
    url: Url,
    authorization: HeaderValue,
}

impl LogUpload {
    pub(in crate::cloud) fn new(http: reqwest::Client, url: Url, authorization: HeaderValue) -> LogUpload {
        LogUpload { http, url, authorization }
    }
}

#[async_trait::async_trait]
impl LogTransport for LogUpload {
    async fn send(&self, body: LogBody) -> Result<(), CloudError> {
        let call = format!("POST {}", self.url);
        let request = self
            .http
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(CONTENT_ENCODING, "gzip")
            .body(Body::wrap_stream(body));
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(refusal(response, call, REFUSED).await),
            Err(error) => Err(CloudError::Unreachable { call, cause: chain(&error.without_url()) }),
        }
    }
}
