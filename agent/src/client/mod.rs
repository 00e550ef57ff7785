//! The local API as the command line sees it: one request over the unix socket, with limits.

mod error;
mod stream;

pub use error::ClientError;
pub use stream::{Download, download, upload};

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::api::{Failure, FromAnswer};

/// How long the agent may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long it may take to answer; more than its own limit, so that its explanation arrives.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// The same for what takes long (protocol §17.1: 15 min).
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
pub async fn get(socket: &Path, path: &str) -> Result<Reply, ClientError> {
    send(socket, Method::GET, path, Bytes::new(), ANSWER_TIME).await
}

/// Sends a JSON body to `path`.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub async fn post(socket: &Path, path: &str, body: impl Into<Bytes>) -> Result<Reply, ClientError> {
    send(socket, Method::POST, path, body.into(), ANSWER_TIME).await
}

/// The same for what is answered once it is done, however long that takes.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub async fn post_patiently(socket: &Path, path: &str, body: impl Into<Bytes>) -> Result<Reply, ClientError> {
    send(socket, Method::POST, path, body.into(), PATIENT_TIME).await
}

/// Sends a JSON body that changes a part of `path`.
///
/// # Errors
/// When the agent cannot be reached, does not answer, or refuses.
pub async fn patch(socket: &Path, path: &str, body: impl Into<Bytes>) -> Result<Reply, ClientError> {
    send(socket, Method::PATCH, path, body.into(), ANSWER_TIME).await
}

async fn send(socket: &Path, method: Method, path: &str, body: Bytes, time: Duration) -> Result<Reply, ClientError> {
    let not_reachable = |cause| ClientError::NotReachable { socket: socket.display().to_string(), cause };
    let stream = match timeout(CONNECT_TIME, UnixStream::connect(socket)).await {
        Ok(stream) => stream.map_err(not_reachable)?,
        Err(_) => return Err(not_reachable(std::io::ErrorKind::TimedOut.into())),
    };
    match timeout(time, exchange(stream, method, path, body)).await {
        Ok(reply) => reply,
        Err(_) => Err(ClientError::Silent { seconds: time.as_secs() }),
    }
}

async fn exchange(stream: UnixStream, method: Method, path: &str, body: Bytes) -> Result<Reply, ClientError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "holdfast")
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|cause| ClientError::Broken { cause: cause.to_string() })?;
    let answered = crate::http::exchange(stream, request, MAX_ANSWER_BYTES).await;
    let (status, body) = answered.map_err(|cause| ClientError::Broken { cause })?;
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

fn chain(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

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
