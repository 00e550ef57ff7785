//! Accepting connections, within limits, until told to stop.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::access::Origin;
use super::connections::{Connections, Presence};
use super::stall::{Duplex, WriteStall};
use super::table::{Service, answer};
use super::{ApiState, Socket};
use crate::settings::CloudSettings;

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. Beyond that the one that waits longest for its next request is closed; while all are busy, new
    /// ones wait in the kernel's queue.
    pub connections: usize,
    /// From the connection, or the end of the last answer, to the end of the next request's headers.
    pub header_time: Duration,
    /// For a request's body to arrive.
    pub body_time: Duration,
    /// For the whole of a request, from its headers to its answer.
    pub answer_time: Duration,
    /// The same where the answer is that something is done.
    pub slow_time: Duration,
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
            slow_time: Limits::slow_time(CloudSettings::default().api_timeout),
            write_stall: Duration::from_secs(20),
            header_bytes: 16 * 1024,
            drain_time: Duration::from_secs(2),
        }
    }
}

/// An order that takes all the time there is ends a little before its answer is given up, so that its end is told.
const TO_TELL: Duration = Duration::from_secs(20);

impl Limits {
    /// The usual ones of a device with this `apiTimeout`, which says how long a connection may wait (protocol §17.1).
    pub fn of(api_timeout: Duration) -> Limits {
        Limits { slow_time: Limits::slow_time(api_timeout), ..Limits::default() }
    }

    fn slow_time(api_timeout: Duration) -> Duration {
        api_timeout + TO_TELL
    }
}

/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// A client that is there says so at least this often, and one that does not is asked again so many times so much later.
const SILENT: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(20);
const ASKED: u32 = 3;
/// How long to wait when connections cannot be accepted (no file descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves the local API on the unix socket until `shutdown` is ready; then takes no more connections, lets running requests
/// end within the drain time and removes the socket.
pub async fn serve(socket: Socket, state: ApiState, limits: Limits, shutdown: impl Future<Output = ()>) {
    let mut server = Server::new(state, limits);
    server.listeners.push(Listener::Unix(socket));
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = server.step() => {}
        }
    }
    server.end().await;
}

/// Where clients come in.
pub(super) enum Listener {
    Unix(Socket),
    Tcp(SocketAddr, TcpListener),
}

/// A client that has come in; over TCP, from where, and at which listener.
type Client = (Box<dyn Duplex>, Option<(IpAddr, SocketAddr)>);

impl Listener {
    /// Its address, over TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Unix(_) => None,
            Listener::Tcp(address, _) => Some(*address),
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Client>> {
        match self {
            Listener::Unix(socket) => socket.listener.poll_accept(context).map_ok(|(stream, _)| (Box::new(stream) as _, None)),
            Listener::Tcp(at, listener) => listener.poll_accept(context).map_ok(|(stream, remote)| {
                set_up(&stream);
                (Box::new(stream) as _, Some((remote.ip(), *at)))
            }),
        }
    }
}

/// Answers are written in one piece: waiting for more would only make them late. And a client that vanishes without a word,
/// as one does whose cable is pulled, gives its place back: while it follows a log that says nothing, nothing else would tell.
fn set_up(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // What a kernel refuses costs such a place, and no more.
    let _ = sockopt::set_tcp_keepidle(stream, SILENT);
    let _ = sockopt::set_tcp_keepintvl(stream, ASK_AGAIN);
    let _ = sockopt::set_tcp_keepcnt(stream, ASKED);
    let _ = sockopt::set_socket_keepalive(stream, true);
    // The same where an answer is on its way, which is sent again and again instead.
    let _ = sockopt::set_tcp_user_timeout(stream, (SILENT + ASK_AGAIN * ASKED).as_millis() as u32);
}

/// Listeners that share their room for connections.
pub(super) struct Server {
    pub listeners: Vec<Listener>,
    /// The listener that the operator asked for.
    pub asked: Option<SocketAddr>,
    service: Arc<Service>,
    connections: Connections,
    stop: watch::Sender<()>,
    /// Whose turn it is to be asked first.
    turn: usize,
    /// Nothing is accepted before this.
    paused: Option<Instant>,
}

impl Server {
    pub fn new(state: ApiState, limits: Limits) -> Server {
        Server {
            listeners: Vec::new(),
            asked: None,
            service: Arc::new(Service::new(state, limits)),
            connections: Connections::new(limits.connections),
            stop: watch::Sender::new(()),
            turn: 0,
            paused: None,
        }
    }

    /// Waits for the next thing that happens and deals with it. May be dropped at any time.
    pub async fn step(&mut self) {
        let Server { listeners, connections, turn, paused, .. } = self;
        let open = paused.is_none() && connections.have_room();
        let until = paused.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = connections.changed() => {}
            () = sleep_until(until), if paused.is_some() => *paused = None,
            accepted = accept(listeners, turn), if open => {
                self.accepted(accepted);
                // What was accepted is looked at before the next one is: a flood closes connections that have shown nothing.
                tokio::task::yield_now().await;
            }
        }
    }

    fn accepted(&mut self, accepted: io::Result<Client>) {
        match accepted {
            Ok((stream, from)) => {
                let remote = from.map(|(remote, _)| remote);
                let Some(presence) = self.connections.admit(remote) else { return };
                let origin = match from {
                    None => Origin::Socket,
                    Some((remote, at)) if self.asked == Some(at) => Origin::Asked(remote),
                    Some((remote, _)) => Origin::Tcp(remote),
                };
                let serving = connection(stream, origin, self.service.clone(), self.stop.subscribe(), presence.clone());
                self.connections.spawn(remote, presence, serving);
            }
            // That client's trouble only: it may not hold up the others.
            Err(cause) if matches!(cause.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(cause) => {
                log::warn!("local API: connections cannot be accepted, tried again in {} s: {cause}", ACCEPT_PAUSE.as_secs());
                self.paused = Some(Instant::now() + ACCEPT_PAUSE);
            }
        }
    }

    /// Takes no more connections and lets running requests end.
    pub async fn end(self) {
        drop(self.listeners);
        drop(self.stop);
        let cut_off = self.connections.drain(self.service.limits.drain_time).await;
        if cut_off > 0 {
            log::info!("local API: {cut_off} request(s) were cut off by the stop");
        }
    }
}

/// The next client of any of the listeners, each of which has its turn; never while there are none.
async fn accept(listeners: &[Listener], turn: &mut usize) -> io::Result<Client> {
    poll_fn(|context| {
        for step in 0..listeners.len() {
            let at = (*turn + step) % listeners.len();
            if let Poll::Ready(accepted) = listeners[at].poll_accept(context) {
                *turn = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Serves one connection. Broken connections and malformed requests end it and are nobody else's business.
async fn connection(
    stream: Box<dyn Duplex>,
    origin: Origin,
    service: Arc<Service>,
    mut stopping: watch::Receiver<()>,
    presence: Arc<Presence>,
) {
    let limits = service.limits;
    let io = TokioIo::new(WriteStall::new(stream, limits.write_stall, presence.clone()));
    let handler = service_fn(move |request| {
        let (service, presence) = (service.clone(), presence.clone());
        async move { Ok::<_, Infallible>(answer(&service, origin, &presence, request).await) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ours = Listener::Tcp(address, listener);
        let _theirs = TcpStream::connect(address).await.unwrap();
        let (client, from) = poll_fn(|context| ours.poll_accept(context)).await.unwrap();
        assert_eq!(from.map(|(_, at)| at), Some(address));
        assert!(sockopt::socket_keepalive(&client).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&client).unwrap(), SILENT);
        assert_eq!(sockopt::tcp_keepintvl(&client).unwrap(), ASK_AGAIN);
        assert_eq!(sockopt::tcp_keepcnt(&client).unwrap(), ASKED);
        assert_eq!(sockopt::tcp_user_timeout(&client).unwrap(), 120_000);
    }
}
