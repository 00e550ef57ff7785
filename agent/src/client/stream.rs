//! Contents that are too large to be held: read and sent in pieces, for as long as it takes.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Method;
use hyper::body::{Frame, Incoming};
use hyper::header::{EXPECT, HeaderMap, HeaderValue};
use tokio::sync::oneshot;

use super::line::{Line, broken};
use super::{ClientError, Device, Reply, empty, request, whole};

/// Pieces of a body.
pub type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// An answer whose body is still coming. Dropping it ends the connection, and with it what the agent does for it.
pub struct Download {
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    _line: Line,
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

/// Asks for `path` and returns as soon as the answer begins.
///
/// # Errors
/// When the agent cannot be reached or refuses.
pub async fn download(device: impl Into<Device>, path: &str) -> Result<Download, ClientError> {
    let (response, line) = device.into().ask(request(Method::GET, path, empty())?).await?;
    if !response.status().is_success() {
        return Err(whole(response).await.err().unwrap_or(ClientError::Broken { cause: "a refusal without words".into() }));
    }
    let (head, body) = response.into_parts();
    Ok(Download { headers: head.headers, body, _line: line })
}

/// Sends pieces to `path` once the agent is ready for them.
///
/// # Errors
/// When the agent cannot be reached, refuses or fails, or the pieces break off.
pub async fn upload(device: impl Into<Device>, path: &str, pieces: Pieces) -> Result<Reply, ClientError> {
    let (go, ready) = oneshot::channel();
    let mut request = request(Method::PUT, path, StreamBody::new(when(ready, pieces)).boxed_unsync())?;
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    let go = std::sync::Mutex::new(Some(go));
    // A refusal comes instead of this, before anything was sent.
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == hyper::StatusCode::CONTINUE
            && let Some(go) = go.lock().ok().and_then(|mut go| go.take())
        {
            let _ = go.send(());
        }
    });
    let (response, _line) = device.into().ask(request).await?;
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
