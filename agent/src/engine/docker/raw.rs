//! Questions to the engine past the client, for answers that it does not know how to read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::link::Link;
use crate::engine::{EngineError, Result};

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// The largest refusal.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Bytes of an answer that are read ahead.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// An answer that is still coming. Dropping it ends the request.
pub(super) struct Open {
    pub body: Incoming,
    _connection: Connection,
}

/// A connection that is served while this is kept.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks for a path in the agreed version and returns as soon as the answer begins.
pub(super) async fn open(link: &Link, object: &str, path: &str, limit: Duration) -> Result<Open> {
    let opened = match timeout(limit, ask(link, object, path)).await {
        Ok(opened) => opened,
        Err(_) => Err(EngineError::TimedOut { object: object.to_owned(), seconds: limit.as_secs() }),
    };
    if opened.as_ref().is_err_and(EngineError::is_unreachable) {
        link.forget().await;
    }
    opened
}

async fn ask(link: &Link, object: &str, path: &str) -> Result<Open> {
    let (socket, version) = link.socket().await?;
    let failed = |message: String| EngineError::Failed { object: object.to_owned(), message };
    let away = |cause: std::io::Error| EngineError::Unreachable {
        address: format!("unix://{}", socket.display()),
        cause: cause.to_string(),
    };
    let stream = UnixStream::connect(&socket).await.map_err(away)?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    let shaken = builder.max_buf_size(READ_AHEAD_BYTES).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|cause| failed(cause.to_string()))?;
    let serving = tokio::spawn(async move {
        // How it ended is told by what it carried.
        let _ = connection.await;
    });
    let connection = Connection(serving);
    let request = Request::get(format!("/v{version}{path}")).header(HOST, "engine").body(Empty::<Bytes>::new());
    let request = request.map_err(|cause| failed(cause.to_string()))?;
    let response = sender.send_request(request).await.map_err(|cause| failed(cause.to_string()))?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(Open { body: response.into_body(), _connection: connection });
    }
    let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await.map(|body| body.to_bytes());
    let words = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    let words = words.as_ref().and_then(|words| words["message"].as_str()).unwrap_or_default();
    let message = if words.is_empty() { format!("the engine answered {status}") } else { words.to_owned() };
    Err(match status {
        StatusCode::NOT_FOUND => EngineError::NotFound { object: object.to_owned(), message },
        _ => failed(message),
    })
}

/// Asks for a path in the agreed version and returns the JSON that comes.
pub(super) async fn get(link: &Link, object: &str, path: &str, limit: Duration) -> Result<Value> {
    let failed = |message: String| EngineError::Failed { object: object.to_owned(), message };
    let whole = async {
        let open = ask(link, object, path).await?;
        let body = Limited::new(open.body, MAX_ANSWER_BYTES).collect().await;
        Ok(body.map_err(|cause| failed(cause.to_string()))?.to_bytes())
    };
    let answered = timeout(limit, whole).await;
    let body = answered.map_err(|_| EngineError::TimedOut { object: object.to_owned(), seconds: limit.as_secs() })??;
    serde_json::from_slice(&body).map_err(|cause| failed(format!("the engine's answer was not understood: {cause}")))
}
