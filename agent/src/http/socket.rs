//! One request over a unix socket with its whole answer: to the agent's own API, to the engine.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::chain;

/// Sends a request and reads what comes, up to a size.
///
/// # Errors
/// In words, when the answer broke off or is larger.
pub async fn exchange(
    stream: UnixStream,
    request: Request<Full<Bytes>>,
    limit_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let broken = |cause: hyper::Error| chain(&cause);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit_bytes).collect().await;
        Ok((status, body.map_err(|cause| cause.to_string())?.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        // The connection ends by itself once its answer is on its way to us; the rest is read from what it left.
        _ = connection => answer.await,
    }
}

/// Asks for a path within a time, without a body.
///
/// # Errors
/// In words, also when there is no answer in time.
pub async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    limit: Duration,
    limit_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let asked = async {
        let stream = UnixStream::connect(socket).await.map_err(|cause| cause.to_string())?;
        let request = Request::builder().method(method).uri(path).header(HOST, "localhost").body(Full::default());
        exchange(stream, request.map_err(|cause| cause.to_string())?, limit_bytes).await
    };
    let silent = |_| format!("no answer within {} s", limit.as_secs());
    tokio::time::timeout(limit, asked).await.map_err(silent)?
}
