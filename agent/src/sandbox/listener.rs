//! An HTTP/1 server on 127.0.0.1 with a thread and a runtime of its own, so that it answers whatever the rest of the
//! process is doing, and works in blocking tests too.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The body of an answer; an error in it breaks the connection.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a handler comes to. An error closes the connection without an answer.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

/// Answers one request.
pub type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// A running server; dropping it closes every connection and frees the port.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds 127.0.0.1 at `port` (0 lets the system choose) and serves until dropped.
    ///
    /// # Errors
    /// When the port is taken or no thread can be made.
    pub fn start(name: &str, port: u16, handler: Handler) -> io::Result<Listener> {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let Ok(socket) = TcpListener::from_std(socket) else { return };
            tokio::select! {
                () = accept(socket, handler) => {}
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(serve))?;
        Ok(Listener { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Fails only when the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("an embedded server ended with a panic");
        }
    }
}

async fn accept(socket: TcpListener, handler: Handler) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| handler(request));
                    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    if let Err(e) = served {
                        log::debug!("embedded server: connection ended: {e}");
                    }
                });
            }
            Err(e) => {
                // Usually out of file descriptors: trying again at once would spin.
                log::debug!("embedded server: cannot accept: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a text.
pub fn text(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(full(message.to_owned()));
    *response.status_mut() = status;
    set(&mut response, "content-type", "text/plain; charset=utf-8");
    response
}

/// An answer with a JSON document.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    set(&mut response, "content-type", "application/json; charset=utf-8");
    response
}

/// Sets a header; a value that is no header value is left out.
pub fn set(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}
