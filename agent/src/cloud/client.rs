//! The one HTTP client for the cloud (protocol §2): rustls with `ring`, gzip, a bound for every phase of a call.

use std::collections::BTreeMap;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::body::{excerpt, read_text};
use super::call::{Timeouts, base_url, bearer, below, head, refusal};
use super::logs::LogUpload;
use super::provision::HttpRegistrar;
use super::user_agent::{UserAgent, user_agent};
use super::{Cloud, CloudError, DeviceTag, Report, TargetAnswer, tags};
use crate::http::{self, Limits};
use crate::settings::{CloudSettings, Secret};

/// The largest target that is taken, bytes after decompression.
pub const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// An ETag longer than this is not kept, bytes.
const ETAG_LIMIT_BYTES: usize = 1024;

const REFUSED_POLL: &str = "the cloud does not accept this device's key for this uuid (the device was deleted, or its key changed; \
     a refusal is remembered there for 10 minutes)";
const REFUSED_TAGS: &str = "the cloud does not accept this device's key for its tags";
const REFUSED_REPORT: &str =
    "the cloud does not accept this device's key, or the report names a release or an image it does not know";

/// What a client is made from.
#[derive(Clone, Debug)]
pub struct ClientSettings<'a> {
    /// Address, uuid, key, own certificates.
    pub cloud: &'a CloudSettings,
    /// TLS, with what is trusted.
    pub tls: rustls::ClientConfig,
    /// `PRETTY_NAME` of the host's os-release, for `User-Agent`.
    pub os_version: Option<&'a str>,
    /// `dev` or `prod`, for `User-Agent`.
    pub os_variant: Option<&'a str>,
    /// Limits of time.
    pub timeouts: Timeouts,
}

/// The cloud over HTTP.
pub struct Client {
    http: reqwest::Client,
    target_url: Url,
    report_url: Url,
    base: Url,
    device_id: Option<u64>,
    uuid: String,
    authorization: HeaderValue,
    timeouts: Timeouts,
}

impl Client {
    /// Makes a client; connects to nothing yet.
    ///
    /// # Errors
    /// When the settings lack or spoil what a call needs: address, uuid, key.
    pub fn new(settings: &ClientSettings<'_>) -> Result<Client, CloudError> {
        let wrong = |what: &str| CloudError::Settings(what.to_owned());
        let uuid = settings.cloud.uuid.clone().ok_or_else(|| wrong("config.json has no uuid"))?;
        let key =
            settings.cloud.device_api_key.as_ref().map(Secret::reveal).ok_or_else(|| wrong("config.json has no deviceApiKey"))?;
        let authorization = bearer("deviceApiKey", key)?;
        let base = base_url("apiEndpoint", &settings.cloud.api_endpoint)?;
        Ok(Client {
            http: http_client(settings, &base)?,
            target_url: below(&base, &["device", "v3", &uuid, "state"])?,
            report_url: below(&base, &["device", "v3", "state"])?,
            device_id: settings.cloud.device_id,
            base,
            uuid,
            authorization,
            timeouts: settings.timeouts,
        })
    }

    /// The way of the log stream (protocol §13): over the same connections, to `logsEndpoint` when one is named. An address
    /// with `http` is taken as it says.
    ///
    /// # Errors
    /// When `logsEndpoint` is no address.
    pub fn log_upload(&self, cloud: &CloudSettings) -> Result<LogUpload, CloudError> {
        let base = match &cloud.logs_endpoint {
            Some(endpoint) => base_url("logsEndpoint", endpoint)?,
            None => base_url("apiEndpoint", &cloud.api_endpoint)?,
        };
        let url = below(&base, &["device", "v2", &self.uuid, "log-stream"])?;
        Ok(LogUpload::new(self.http.clone(), url, self.authorization.clone()))
    }

    /// The calls of provisioning (protocol §9), over the same connections.
    ///
    /// # Errors
    /// When there is a provisioning key that cannot be sent. Without one everything is asked with the device's own.
    pub fn registrar(&self, cloud: &CloudSettings) -> Result<HttpRegistrar, CloudError> {
        let provisioning = match &cloud.api_key {
            Some(key) => bearer("apiKey", key.reveal())?,
            None => self.authorization.clone(),
        };
        Ok(HttpRegistrar {
            http: self.http.clone(),
            base: base_url("apiEndpoint", &cloud.api_endpoint)?,
            uuid: self.uuid.clone(),
            device: self.authorization.clone(),
            provisioning,
            timeouts: self.timeouts,
        })
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.http.request(method, url.clone()).header(AUTHORIZATION, self.authorization.clone())
    }

    fn limits(&self) -> Limits {
        Limits { size_bytes: BODY_LIMIT_BYTES, idle: self.timeouts.body_idle, total: self.timeouts.body_total }
    }
}

#[async_trait::async_trait]
impl Cloud for Client {
    async fn target(&self, etag: Option<&str>) -> Result<TargetAnswer, CloudError> {
        let call = format!("GET {}", self.target_url);
        let mut request = self.request(Method::GET, &self.target_url);
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = head(self.timeouts, request, &call).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(TargetAnswer::Unchanged),
            StatusCode::OK => {
                let etag = sendable_etag(&response);
                Ok(TargetAnswer::Body { text: read_text(response, self.limits(), &call).await?, etag })
            }
            _ => Err(refusal(response, call, REFUSED_POLL).await),
        }
    }

    async fn report(&self, fields: &Report) -> Result<(), CloudError> {
        let call = format!("PATCH {}", self.report_url);
        // Built by hand: the body is the one place where the uuid is a key.
        let body = serde_json::to_vec(&std::collections::BTreeMap::from([(self.uuid.as_str(), fields)]))
            .map_err(|error| CloudError::Settings(format!("the report cannot be written as JSON: {error}")))?;
        let request = self.request(Method::PATCH, &self.report_url).header(CONTENT_TYPE, "application/json").body(body);
        let response = head(self.timeouts, request, &call).await?;
        if !response.status().is_success() {
            return Err(refusal(response, call, REFUSED_REPORT).await);
        }
        // Accepted is accepted; reading the few bytes of the answer only lets the connection be used again.
        let _ = excerpt(response, &call).await;
        Ok(())
    }

    async fn device_tags(&self) -> Result<Vec<DeviceTag>, CloudError> {
        let unknown = || CloudError::Settings("config.json has no deviceId yet".into());
        let id = self.device_id.ok_or_else(unknown)?;
        let mut url = below(&self.base, &["v7", "device_tag"])?;
        url.set_query(Some(&format!("$select=id,tag_key,value&$filter=device%20eq%20{id}")));
        let call = format!("GET {url}");
        let response = head(self.timeouts, self.request(Method::GET, &url), &call).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response, call, REFUSED_TAGS).await);
        }
        tags::read(&read_text(response, self.limits(), &call).await?)
    }

    async fn report_tags(&self, tags: &BTreeMap<String, String>) -> Result<(), CloudError> {
        let url = below(&self.base, &["device", "v3", "tags"])?;
        let call = format!("PATCH {url}");
        let mut body = serde_json::Map::new();
        body.insert(self.uuid.clone(), serde_json::json!(tags));
        let body = serde_json::Value::Object(body).to_string();
        let request = self.request(Method::PATCH, &url).header(CONTENT_TYPE, "application/json").body(body);
        let response = head(self.timeouts, request, &call).await?;
        if !response.status().is_success() {
            return Err(refusal(response, call, REFUSED_TAGS).await);
        }
        let _ = excerpt(response, &call).await;
        Ok(())
    }
}

/// The answer's ETag, unless it is of a kind that cannot be sent back.
fn sendable_etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(ETAG)?.to_str().ok()?;
    (!etag.is_empty() && etag.len() <= ETAG_LIMIT_BYTES).then(|| etag.to_owned())
}

fn http_client(settings: &ClientSettings<'_>, base: &Url) -> Result<reqwest::Client, CloudError> {
    let name = UserAgent { os_version: settings.os_version, os_variant: settings.os_variant };
    let options = http::Options {
        user_agent: &user_agent(&name),
        connect_timeout: settings.timeouts.connect,
        // The usual proxy variables are followed, but not to this machine itself.
        proxy: !base.host_str().is_some_and(http::is_loopback),
    };
    http::client(settings.tls.clone(), &options).map_err(CloudError::Settings)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(in crate::cloud) mod tls;
