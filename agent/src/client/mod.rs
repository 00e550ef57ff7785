//! The local API as the command line sees it: requests to the agent of this machine or, through ssh, of another device.
//!
//! | file | what |
//! |---|---|
//! | `device`, `host` | whose agent is asked |
//! | `line`, `ssh` | a connection to it |
//! | `stream` | contents that are read and sent in pieces |
//! | `error` | what can go wrong |

mod device;
mod error;
mod host;
mod line;
mod ssh;
mod stream;

pub use device::Device;
pub use error::ClientError;
pub use host::Host;
pub use stream::{Download, download, upload};

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::api::{Failure, FromAnswer};
use line::Outgoing;

/// How long what takes long may take to answer (protocol §17.1: 15 min).
const PATIENT_TIME: Duration = Duration::from_secs(16 * 60);
/// The largest answer that is read: a target of the largest size with its envelope, and room to spare.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// What the agent answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status, 200 to 299.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// When it is something else, as from an agent of another age.
    pub fn json(&self) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.body).map_err(|cause| ClientError::Unreadable { cause: cause.to_string() })
    }

    /// Reads the body as an answer's type.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn read<T: FromAnswer>(&self) -> Result<T, ClientError> {
        Ok(T::from_answer(&self.json()?))
    }
}

/// Asks for `path`.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub fn get(device: impl Into<Device>, path: &str) -> impl Future<Output = Result<Reply, ClientError>> {
    send(device.into(), Method::GET, path, Bytes::new(), None)
}

/// Sends a JSON body to `path`.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub fn post(device: impl Into<Device>, path: &str, body: impl Into<Bytes>) -> impl Future<Output = Result<Reply, ClientError>> {
    send(device.into(), Method::POST, path, body.into(), None)
}

/// The same for what is answered once it is done, however long that takes.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub fn post_patiently(
    device: impl Into<Device>,
    path: &str,
    body: impl Into<Bytes>,
) -> impl Future<Output = Result<Reply, ClientError>> {
    send(device.into(), Method::POST, path, body.into(), Some(PATIENT_TIME))
}

/// Sends a JSON body that changes a part of `path`.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub fn patch(device: impl Into<Device>, path: &str, body: impl Into<Bytes>) -> impl Future<Output = Result<Reply, ClientError>> {
    send(device.into(), Method::PATCH, path, body.into(), None)
}

async fn send(device: Device, method: Method, path: &str, body: Bytes, limit: Option<Duration>) -> Result<Reply, ClientError> {
    let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
    let mut request = request(method, path, body)?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let exchange = async {
        let (response, line) = device.ask(request).await?;
        let reply = whole(response).await;
        device.keep(line);
        reply
    };
    let limit = limit.unwrap_or_else(|| device.answer_time());
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(device.silent(limit)))
}

fn request(method: Method, path: &str, body: Outgoing) -> Result<Request<Outgoing>, ClientError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "holdfast")
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .body(body)
        .map_err(|cause| ClientError::Broken { cause: cause.to_string() })
}

fn empty() -> Outgoing {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads an answer to its end.
async fn whole(response: Response<Incoming>) -> Result<Reply, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|cause| ClientError::Broken { cause: cause.to_string() })?.to_bytes();
    if status.is_success() { Ok(Reply { status, body }) } else { Err(refused(status, &body)) }
}

/// What a refusal says.
fn refused(status: StatusCode, body: &Bytes) -> ClientError {
    let message = match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => failure.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    ClientError::Refused { status: status.as_u16(), message }
}

/// A text as a part of a path or as a value of a query.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;

    /// A server that answers every connection with the same bytes.
    fn fixed(socket: &Path, answer: &'static str) {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
    }

    async fn ask(answer: &'static str) -> Result<Reply, ClientError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        fixed(&socket, answer);
        get(&socket, "/x").await
    }

    #[test]
    fn names_do_not_change_the_question() {
        assert_eq!(escaped("a b&c=ä"), "a%20b%26c%3D%C3%A4");
        assert_eq!(escaped("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
    }

    #[tokio::test]
    async fn answers_come_back() {
        let reply = ask("HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"a\":1}").await.unwrap();
        assert_eq!(reply.json().unwrap()["a"], 1);
    }

    #[tokio::test]
    async fn refusals_carry_the_agents_words() {
        let json = "HTTP/1.1 423 Locked\r\ncontent-length: 36\r\n\r\n{\"status\":\"failed\",\"message\":\"lock\"}";
        let error = ask(json).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 423, message } if message == "lock"));
        let text = ask("HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\nUnhealthy").await.unwrap_err();
        assert!(matches!(text, ClientError::Refused { status: 500, message } if message == "Unhealthy"));
    }

    #[tokio::test]
    async fn half_answers_and_nonsense_are_errors() {
        for answer in ["", "nonsense", "HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\nhalf"] {
            assert!(matches!(ask(answer).await, Err(ClientError::Broken { .. })), "{answer}");
        }
    }

    #[tokio::test]
    async fn an_agent_that_is_away_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let missing = get(&socket, "/ping").await.unwrap_err();
        assert!(missing.to_string().contains("no agent listens there"), "{missing}");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let stale = get(&socket, "/ping").await.unwrap_err();
        assert!(stale.to_string().contains("is gone"), "{stale}");
    }
}
