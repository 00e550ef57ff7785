//! Accepting connections, within limits, until told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::caller::Caller;
use super::stall::WriteStall;
use super::table::{Service, answer};
use super::{ApiState, Socket};

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; the others wait for their turn in the kernel's queue.
    pub connections: usize,
    /// From the connection, or the end of the last answer, to the end of the next request's headers.
    pub header_time: Duration,
    /// For a request's body to arrive.
    pub body_time: Duration,
    /// For the whole of a request, from its headers to its answer.
    pub answer_time: Duration,
    /// Without a single byte of the answer being taken.
    pub write_stall: Duration,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// For running requests to end when the agent stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 64,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(15),
            answer_time: Duration::from_secs(30),
            write_stall: Duration::from_secs(20),
            header_bytes: 16 * 1024,
            drain_time: Duration::from_secs(2),
        }
    }
}

/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// How long to wait when connections cannot be accepted (no file descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves the local API until `shutdown` is ready; then takes no more connections, lets running requests end within the
/// drain time and removes the socket.
pub async fn serve(socket: Socket, state: ApiState, limits: Limits, shutdown: impl Future<Output = ()>) {
    let service = Arc::new(Service::new(state, limits));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, slot) = accept(&socket, &slots) => {
                connections.spawn(connection(stream, service.clone(), stopping.clone(), slot));
            }
        }
    }
    drop(socket);
    drop(stop);
    let drained = tokio::time::timeout(limits.drain_time, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        log::info!("local API: {} request(s) were cut off by the stop", connections.len());
    }
}

/// The next connection, once there is room for it.
async fn accept(socket: &Socket, slots: &Arc<Semaphore>) -> (UnixStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let slot = slots.clone().acquire_owned().await.ok();
    let mut said = false;
    loop {
        match socket.listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(cause) => {
                if !said {
                    log::warn!(
                        "local API: {}: connections cannot be accepted, tried again every second: {cause}",
                        socket.path().display()
                    );
                    said = true;
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. Broken connections and malformed requests end it and are nobody else's business.
async fn connection<T>(stream: T, service: Arc<Service>, mut stopping: watch::Receiver<()>, _slot: Option<OwnedSemaphorePermit>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = service.limits;
    let io = TokioIo::new(WriteStall::new(stream, limits.write_stall));
    let handler = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(&service, Caller::Operator, request).await) }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_headers(MAX_HEADERS)
            .max_buf_size(limits.header_bytes)
            .serve_connection(io, handler)
    );
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        _ = stopping.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(cause) = outcome {
        log::debug!("local API: a connection ended early: {cause}");
    }
}
