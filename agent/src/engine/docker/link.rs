//! The connection to the engine: made on first use, its version agreed on then, and again after the engine was away.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::errors::engine_error;
use crate::engine::address::Address;
use crate::engine::{EngineError, Result};

/// How long the engine has to say which version it speaks, seconds.
const GREETING_LIMIT_S: u64 = 10;

/// The limit of the client itself, seconds: longer than any of ours, which know what they wait for.
const CLIENT_LIMIT_S: u64 = 24 * 60 * 60;

/// The oldest API version this agent can work with (Docker 20.10).
const OLDEST_API: (usize, usize) = (1, 41);

/// An engine somewhere behind one of a few addresses.
pub(super) struct Link {
    /// Where it may listen, best first; never empty.
    addresses: Vec<Address>,
    current: Mutex<Option<Connected>>,
}

#[derive(Clone)]
pub(super) struct Connected {
    pub client: Docker,
    pub address: String,
}

impl Connected {
    /// The API version that was agreed on.
    pub fn api_version(&self) -> String {
        let version = self.client.client_version();
        format!("{}.{}", version.major_version, version.minor_version)
    }
}

impl Link {
    pub fn new(addresses: Vec<Address>) -> Link {
        Link { addresses, current: Mutex::new(None) }
    }

    /// Where the engine is looked for, for messages.
    fn places(&self) -> String {
        self.addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The connection, made now if there is none: the first address that answers.
    pub async fn connected(&self) -> Result<Connected> {
        let mut current = self.current.lock().await;
        if let Some(connected) = &*current {
            return Ok(connected.clone());
        }
        let mut last = None;
        for address in &self.addresses {
            match greet(address).await {
                Ok(connected) => {
                    *current = Some(connected.clone());
                    return Ok(connected);
                }
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(EngineError::Unreachable { cause, .. }) => Err(EngineError::Unreachable { address: self.places(), cause }),
            Some(other) => Err(other),
            None => Err(EngineError::Unreachable { address: String::new(), cause: "no address is known".into() }),
        }
    }

    /// Lets go of the connection: the next call looks for the engine anew and agrees on a version with it, since it may have
    /// been replaced by another one.
    pub async fn forget(&self) {
        *self.current.lock().await = None;
    }

    /// The socket that is spoken to now, and the agreed version.
    pub async fn socket(&self) -> Result<(PathBuf, String)> {
        let connected = self.connected().await?;
        Ok((connected.address.parse::<Address>()?.socket, connected.api_version()))
    }

    /// Runs one call within a time limit. `object` is what the call is about, for errors.
    pub async fn call<T, F>(&self, object: &str, limit: Duration, make: impl FnOnce(Docker) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let Connected { client, address } = self.connected().await?;
        let error = match timeout(limit, make(client)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => engine_error(&address, object, limit.as_secs(), error),
            Err(_) => EngineError::TimedOut { object: object.to_owned(), seconds: limit.as_secs() },
        };
        if error.is_unreachable() {
            self.forget().await;
        }
        Err(error)
    }
}

/// Connects to one address and agrees on a version.
async fn greet(address: &Address) -> Result<Connected> {
    let text = address.to_string();
    let failed = |error| match engine_error(&text, &format!("engine at {text}"), GREETING_LIMIT_S, error) {
        // A socket whose owner does not speak is as good as none.
        EngineError::TimedOut { seconds, .. } => silent(&text, seconds),
        other => other,
    };
    let socket = address.socket.to_string_lossy();
    let client = Docker::connect_with_unix(&socket, CLIENT_LIMIT_S, bollard::API_DEFAULT_VERSION).map_err(failed)?;
    let client = match timeout(Duration::from_secs(GREETING_LIMIT_S), client.negotiate_version()).await {
        Ok(agreed) => agreed.map_err(failed)?,
        Err(_) => return Err(silent(&text, GREETING_LIMIT_S)),
    };
    let mut connected = Connected { client, address: text };
    let (version, spoken) = (connected.client.client_version(), connected.api_version());
    if (version.major_version, version.minor_version) < OLDEST_API {
        let object = format!("engine at {}", connected.address);
        let message = format!("it speaks API {spoken}; 1.41 (Docker 20.10) or newer is needed");
        return Err(EngineError::Failed { object, message });
    }
    connected.client = connected.client.with_request_modifier(move |request| corrected(request, &spoken));
    Ok(connected)
}

fn silent(address: &str, seconds: u64) -> EngineError {
    EngineError::Unreachable { address: address.to_owned(), cause: format!("it did not answer within {seconds} s") }
}

/// Puts right what bollard 0.21 gets wrong in every request; each part may go once it does not.
fn corrected(mut request: bollard::BollardRequest, version: &str) -> bollard::BollardRequest {
    // It leaves the agreed version out of the path, so that the engine would answer in its newest one.
    if let Some(uri) = with_version(request.uri(), version) {
        *request.uri_mut() = uri;
    }
    // It encodes credentials in the ordinary alphabet; the engine decodes the URL-safe one, and when it cannot, quietly goes
    // on without them. The alphabets differ in two characters.
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let fixed = value.to_str().ok().map(url_safe).and_then(|text| HeaderValue::from_str(&text).ok());
        if let Some(mut fixed) = fixed {
            fixed.set_sensitive(true);
            *value = fixed;
        }
    }
    request
}

/// The address with the version in front of its path; `None` where it is there already.
fn with_version(uri: &Uri, version: &str) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    if path.starts_with("/v1.") {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("/v{version}{path}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_written_in_the_url_safe_alphabet() {
        assert_eq!(url_safe("a+b/c=="), "a-b_c==");
    }

    #[test]
    fn the_agreed_version_is_asked_for_once() {
        let plain: Uri = "unix://2f78/images/json?all=false".parse().unwrap();
        let versioned = with_version(&plain, "1.41").unwrap();
        assert_eq!(versioned.to_string(), "unix://2f78/v1.41/images/json?all=false");
        assert_eq!(with_version(&versioned, "1.41"), None);
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable_and_names_the_place() {
        let link = Link::new(vec!["unix:///nowhere/x.sock".parse().unwrap()]);
        let error = link.call("list", Duration::from_secs(1), |docker| async move { docker.ping().await }).await.unwrap_err();
        assert!(error.is_unreachable() && error.to_string().contains("unix:///nowhere/x.sock"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_nobody_listens_on_is_unreachable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let link = Link::new(vec![format!("unix://{}", path.display()).parse().unwrap()]);
        assert!(link.connected().await.err().is_some_and(|error| error.is_unreachable()));
    }
}
