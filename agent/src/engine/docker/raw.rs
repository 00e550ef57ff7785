//! One question to the engine past the client, for answers that it does not know how to read.

use std::time::Duration;

use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::link::Link;
use crate::engine::{EngineError, Result};
use crate::http::exchange;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Asks for a path in the agreed version and returns the JSON that comes.
pub(super) async fn get(link: &Link, object: &str, path: &str, limit: Duration) -> Result<Value> {
    let (socket, version) = link.socket().await?;
    let failed = |message: String| EngineError::Failed { object: object.to_owned(), message };
    let ask = async {
        let stream = UnixStream::connect(&socket).await.map_err(|cause| failed(cause.to_string()))?;
        let request = Request::get(format!("/v{version}{path}")).header(HOST, "engine").body(Full::default());
        let request = request.map_err(|cause| failed(cause.to_string()))?;
        exchange(stream, request, MAX_ANSWER_BYTES).await.map_err(failed)
    };
    let answered = timeout(limit, ask).await;
    let (status, body) =
        answered.map_err(|_| EngineError::TimedOut { object: object.to_owned(), seconds: limit.as_secs() })??;
    if status != StatusCode::OK {
        return Err(failed(format!("the engine answered {status}")));
    }
    serde_json::from_slice(&body).map_err(|cause| failed(format!("the engine's answer was not understood: {cause}")))
}
