//! Contents that are too large to be held: read and sent in pieces, for as long as it takes.

use std::io;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, Empty, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{EXPECT, HOST, HeaderMap, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{CONNECT_TIME, ClientError, MAX_ANSWER_BYTES, Reply, chain, refused};

/// Pieces of a body.
pub type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// An answer whose body is still coming. Dropping it ends the connection, and with it what the agent does for it.
pub struct Download {
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

/// A connection that is served while this is kept.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Download {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the answer broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            match frame.map_err(|cause| broken(&cause))?.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_) => continue,
            }
        }
        Ok(None)
    }
}

fn broken(cause: &hyper::Error) -> ClientError {
    ClientError::Broken { cause: chain(cause) }
}

/// Asks for `path` and returns as soon as the answer begins.
///
/// # Errors
/// When the agent cannot be reached or refuses.
pub async fn download(socket: &Path, path: &str) -> Result<Download, ClientError> {
    let (mut sender, connection) = connect(socket).await?;
    let request = request(Method::GET, path, Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.map_err(|cause| broken(&cause))?;
    if !response.status().is_success() {
        return Err(whole(response).await.err().unwrap_or(ClientError::Broken { cause: "a refusal without words".into() }));
    }
    let (head, body) = response.into_parts();
    Ok(Download { headers: head.headers, body, _connection: connection })
}

/// Sends pieces to `path` once the agent is ready for them.
///
/// # Errors
/// When the agent cannot be reached, refuses or fails, or the pieces break off.
pub async fn upload(socket: &Path, path: &str, pieces: Pieces) -> Result<Reply, ClientError> {
    let (mut sender, _connection) = connect(socket).await?;
    let (go, ready) = oneshot::channel();
    let mut request = request(Method::PUT, path, StreamBody::new(Box::pin(when(ready, pieces))))?;
    request.headers_mut().insert(EXPECT, hyper::header::HeaderValue::from_static("100-continue"));
    let go = std::sync::Mutex::new(Some(go));
    // A refusal comes instead of this, before anything was sent.
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == hyper::StatusCode::CONTINUE
            && let Some(go) = go.lock().ok().and_then(|mut go| go.take())
        {
            let _ = go.send(());
        }
    });
    let response = sender.send_request(request).await.map_err(|cause| broken(&cause))?;
    whole(response).await
}

/// The pieces, from the moment they are asked for.
fn when(ready: oneshot::Receiver<()>, pieces: Pieces) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    use futures_util::{StreamExt, TryStreamExt, stream};
    let waited = stream::once(async move {
        if ready.await.is_err() {
            // The answer came first: nobody wants them any more.
            std::future::pending::<()>().await;
        }
    });
    waited.flat_map(|()| stream::empty()).chain(pieces.map_ok(Frame::data))
}

async fn connect<B>(socket: &Path) -> Result<(SendRequest<B>, Connection), ClientError>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let not_reachable = |cause| ClientError::NotReachable { socket: socket.display().to_string(), cause };
    let stream = match timeout(CONNECT_TIME, UnixStream::connect(socket)).await {
        Ok(stream) => stream.map_err(not_reachable)?,
        Err(_) => return Err(not_reachable(io::ErrorKind::TimedOut.into())),
    };
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|cause| broken(&cause))?;
    let serving = tokio::spawn(async move {
        // How it ended is told by what it carried.
        let _ = connection.await;
    });
    Ok((sender, Connection(serving)))
}

fn request<B>(method: Method, path: &str, body: B) -> Result<Request<B>, ClientError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "holdfast")
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .body(body)
        .map_err(|cause| ClientError::Broken { cause: cause.to_string() })
}

async fn whole(response: Response<Incoming>) -> Result<Reply, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|cause| ClientError::Broken { cause: cause.to_string() })?.to_bytes();
    if status.is_success() { Ok(Reply { status, body }) } else { Err(refused(status, &body)) }
}
