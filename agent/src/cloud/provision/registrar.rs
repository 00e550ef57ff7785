//! The cloud's side of provisioning: the calls and their answers (protocol §8, §9).

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Pin;
use crate::cloud::body::read_text;
use crate::cloud::call::{Timeouts, below, head, refusal};
use crate::cloud::{CloudError, SUPERVISOR_COMPATIBLE_VERSION};
use crate::http::{Limits, shorten};

/// The largest answer that is read, bytes: all of them are a few ids.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024;

const REFUSED: &str =
    "the cloud does not accept the provisioning key (apiKey in config.json): it may be withdrawn or another fleet's";
const REFUSED_OWN: &str = "the cloud does not accept this device's key";

/// What came of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The device has this id.
    As(u64),
    /// The uuid or the key is in use already (409).
    Taken,
}

/// What came of giving a device its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It has it.
    Yes,
    /// The cloud does not allow it, and says why.
    Refused(String),
}

/// Whose key a question is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOf {
    /// The device's own.
    Device,
    /// The provisioning key.
    Fleet,
}

/// The calls of provisioning. All errors are passing: the same call may succeed later.
#[async_trait::async_trait]
pub trait Registrar: Send + Sync {
    /// Registers the device; `body` is what protocol §9 names.
    async fn register(&self, body: &Value) -> Result<Registered, CloudError>;

    /// The id of the device with this client's uuid, if the key may see one.
    async fn find(&self, key: KeyOf) -> Result<Option<u64>, CloudError>;

    /// Gives a device its key, with the provisioning key.
    async fn install(&self, id: u64, device_key: &str) -> Result<Installed, CloudError>;

    /// Names a device, with its own key.
    async fn name(&self, id: u64, name: &str) -> Result<(), CloudError>;

    /// Pins a device to a release, with its own key; `false` when there is no such release.
    async fn pin(&self, id: u64, pin: &Pin) -> Result<bool, CloudError>;
}

/// The calls over HTTP; [`Client::registrar`](crate::cloud::Client::registrar) makes it.
pub struct HttpRegistrar {
    pub(in crate::cloud) http: reqwest::Client,
    pub(in crate::cloud) base: Url,
    pub(in crate::cloud) uuid: String,
    pub(in crate::cloud) device: HeaderValue,
    pub(in crate::cloud) provisioning: HeaderValue,
    pub(in crate::cloud) timeouts: Timeouts,
}

impl HttpRegistrar {
    /// Sends one request; the head of its answer, and how the call is named in errors.
    async fn call(&self, method: Method, url: Url, key: KeyOf, body: Option<&Value>) -> Result<(Response, String), CloudError> {
        let call = format!("{method} {url}");
        let key = if key == KeyOf::Device { &self.device } else { &self.provisioning };
        let mut request = self.http.request(method, url).header(AUTHORIZATION, key.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        Ok((head(self.timeouts, request, &call).await?, call))
    }

    /// The id of the first row of a table that passes a filter.
    async fn first(&self, table: &str, filter: &str, key: KeyOf) -> Result<Option<u64>, CloudError> {
        let mut url = below(&self.base, &["v7", table])?;
        url.set_query(Some(&format!("$select=id&$filter={filter}")));
        let (response, call) = self.call(Method::GET, url, key, None).await?;
        if !response.status().is_success() {
            return Err(refusal(response, call, if key == KeyOf::Device { REFUSED_OWN } else { REFUSED }).await);
        }
        let rows: Rows = self.read(response, &call).await?;
        Ok(rows.d.first().map(|row| row.id))
    }

    /// Changes the device's row, with its own key.
    async fn change(&self, id: u64, body: Value) -> Result<(), CloudError> {
        let url = below(&self.base, &["v7", &format!("device({id})")])?;
        let (response, call) = self.call(Method::PATCH, url, KeyOf::Device, Some(&body)).await?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(response, call, REFUSED_OWN).await) }
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, response: Response, call: &str) -> Result<T, CloudError> {
        let total = self.timeouts.body_total.min(Duration::from_secs(120));
        let limits = Limits { size_bytes: ANSWER_LIMIT_BYTES, idle: self.timeouts.body_idle, total };
        let text = read_text(response, limits, call).await?;
        let refused = |error| CloudError::NotATarget(format!("{call}: not what was asked for ({error}): {}", shorten(&text)));
        serde_json::from_str(&text).map_err(refused)
    }
}

#[derive(Deserialize)]
struct Rows {
    d: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: u64,
}

#[async_trait::async_trait]
impl Registrar for HttpRegistrar {
    async fn register(&self, body: &Value) -> Result<Registered, CloudError> {
        #[derive(Deserialize)]
        struct Device {
            id: u64,
            uuid: Option<String>,
        }
        let url = below(&self.base, &["device", "register"])?;
        let (response, call) = self.call(Method::POST, url, KeyOf::Fleet, Some(body)).await?;
        match response.status() {
            status if status.is_success() => {
                let device: Device = self.read(response, &call).await?;
                if device.uuid.is_some_and(|uuid| uuid != self.uuid) {
                    return Err(CloudError::NotATarget(format!("{call}: it speaks of another device")));
                }
                Ok(Registered::As(device.id))
            }
            StatusCode::CONFLICT => Ok(Registered::Taken),
            _ => Err(refusal(response, call, REFUSED).await),
        }
    }

    async fn find(&self, key: KeyOf) -> Result<Option<u64>, CloudError> {
        match self.first("device", &format!("uuid eq '{}'", self.uuid), key).await {
            // A key that belongs to nobody sees no device.
            Err(CloudError::Unauthorised { .. } | CloudError::Status { status: 403, .. }) if key == KeyOf::Device => Ok(None),
            other => other,
        }
    }

    async fn install(&self, id: u64, device_key: &str) -> Result<Installed, CloudError> {
        let url = below(&self.base, &["api-key", "device", &id.to_string(), "device-key"])?;
        let body = json!({ "apiKey": device_key });
        let (response, call) = self.call(Method::POST, url, KeyOf::Fleet, Some(&body)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Installed::Yes);
        }
        let error = refusal(response, call, "the provisioning key may not set this device's key").await;
        // The key was good enough to see the device a moment ago, so these are about the device and not about the key.
        let lasting = matches!(status.as_u16(), 400 | 401 | 403 | 404 | 409 | 422);
        if lasting { Ok(Installed::Refused(error.to_string())) } else { Err(error) }
    }

    async fn name(&self, id: u64, name: &str) -> Result<(), CloudError> {
        self.change(id, json!({ "device_name": name })).await
    }

    async fn pin(&self, id: u64, pin: &Pin) -> Result<bool, CloudError> {
        // In this language a quote within a text is written twice.
        let commit = pin.commit.replace('\'', "''");
        let filter = format!("belongs_to__application eq {} and commit eq '{commit}' and status eq 'success'", pin.app);
        let Some(release) = self.first("release", &filter, KeyOf::Device).await? else { return Ok(false) };
        self.change(id, json!({ "is_pinned_on__release": release })).await.map(|()| true)
    }
}

/// What a registration says (protocol §9).
pub(super) struct Registration<'a> {
    pub user: Option<u64>,
    pub application: u64,
    pub uuid: &'a str,
    pub device_type: &'a str,
    pub api_key: &'a str,
    pub os_version: Option<&'a str>,
    pub os_variant: &'a str,
    pub mac_address: &'a str,
}

impl Registration<'_> {
    /// As it is sent.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "application": self.application, "uuid": self.uuid, "device_type": self.device_type, "api_key": self.api_key,
            "supervisor_version": SUPERVISOR_COMPATIBLE_VERSION, "os_variant": self.os_variant,
        });
        let optional = [
            ("user", self.user.map(Value::from)),
            ("os_version", self.os_version.map(Value::from)),
            ("mac_address", Some(self.mac_address).filter(|list| !list.is_empty()).map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    }
}

#[cfg(test)]
mod tests;
