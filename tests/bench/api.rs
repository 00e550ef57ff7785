//! Measures how fast the local API answers `/v2/state/status` with 20 services on the simulated engine; `tests/bench/api`
//! builds the binary and runs this.
//!
//! The peer is a bare server in a process of its own: hyper on one thread, as in the agent, that returns the very same bytes
//! whatever it is asked for. Both are asked by the same clients, over TCP and over a unix socket.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses its part of this")]
mod support;

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use support::{App, Cloud, Device, Kept, PATIENCE, Release, Service, Way, check, free_port, pss_mib, request_text, wait_for};

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";
const PATH: &str = "/v2/state/status";
const SERVICES: usize = 20;
const LASTS: Duration = Duration::from_secs(5);
const CLIENTS: [usize; 2] = [1, 8];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, folder, port] = &arguments[..]
        && word == "peer"
    {
        return peer(Path::new(folder), port.parse().unwrap());
    }
    let site = Site::new();
    let peer = Peer::start(&site.body());
    let before = pss_mib(site.device.pid());
    // A service's key counts only while the service has a container, which an update takes away for a moment.
    let global = site.device.api_key(None);
    println!("{PATH} with {SERVICES} services, {} bytes; each line {} s", site.body().len(), LASTS.as_secs());
    println!("{:<34} {:>8} {:>10} {:>9} {:>9} {:>9}", "", "clients", "answers/s", "p50, us", "p99, us", "most, ms");
    for clients in CLIENTS {
        for (name, way, key) in [
            ("agent, unix socket", &site.socket, ""),
            ("bare server, unix socket", &peer.socket, ""),
            ("agent, TCP with a key", &site.tcp, site.key.as_str()),
            ("bare server, TCP", &peer.tcp, ""),
        ] {
            load(way, key, clients).print(name, clients);
        }
    }
    for clients in CLIENTS {
        let done = AtomicBool::new(false);
        let (loaded, updates) = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let loaded = load(&site.tcp, &global, clients);
                done.store(true, Ordering::Relaxed);
                loaded
            });
            let updates = site.update_until(&done);
            (load.join().unwrap(), updates)
        });
        loaded.print(&format!("agent, TCP, during {updates} updates"), clients);
    }
    load_slowly(&site.tcp, &site.key).print("agent, TCP, ten a second", 1);
    println!("PSS {before:.2} MiB before, {:.2} MiB after", pss_mib(site.device.pid()));
}

/// A settled device.
struct Site {
    device: Device,
    cloud: Cloud,
    app: App,
    socket: Way,
    tcp: Way,
    key: String,
}

fn release(round: usize) -> Release {
    (0..SERVICES).fold(Release::new(&format!("round {round}")), |release, number| {
        let service = Service::new(IMAGE).variable("ROUND", &round.to_string()).label("io.balena.features.supervisor-api", "1");
        release.service(&format!("service-{number}"), service)
    })
}

impl Site {
    fn new() -> Site {
        let mut device = Device::simulated();
        device.set("RUST_LOG", "info");
        let (cloud, app) = (Cloud::of(&device), App::new());
        cloud.want(&[(&app, &release(0))]);
        let tcp = device.join_with_port(&cloud);
        cloud.wait_settled(&app, &release(0));
        wait_for("all services to run", || {
            let running = device.running_services().len();
            check(running == SERVICES, running)
        });
        wait_for("the API over TCP", || tcp.ask("GET", "/ping", "", "").map_err(|error| error.to_string()));
        Site { socket: device.way(), key: device.api_key(Some("service-7")), device, cloud, app, tcp }
    }

    fn body(&self) -> Vec<u8> {
        self.tcp.with_key("GET", PATH, &self.key, "").body
    }

    /// One update of all services after the other; returns how many were done.
    fn update_until(&self, done: &AtomicBool) -> usize {
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) {
            rounds += 1;
            self.cloud.want(&[(&self.app, &release(rounds))]);
            self.socket.with_key("POST", "/v1/update", "", "");
            self.cloud.wait_settled(&self.app, &release(rounds));
        }
        self.cloud.want(&[(&self.app, &release(0))]);
        self.cloud.wait_settled(&self.app, &release(0));
        rounds
    }
}

/// How long each answer took, sorted, and how long all of it lasted.
struct Loaded {
    times: Vec<Duration>,
    lasted: Duration,
}

impl Loaded {
    fn print(&self, name: &str, clients: usize) {
        let at = |share: f64| self.times[((self.times.len() - 1) as f64 * share) as usize];
        println!(
            "{name:<34} {clients:>8} {:>10.0} {:>9} {:>9} {:>9.1}",
            self.times.len() as f64 / self.lasted.as_secs_f64(),
            at(0.5).as_micros(),
            at(0.99).as_micros(),
            at(1.0).as_secs_f64() * 1000.0
        );
    }
}

/// Clients that ask as fast as they are answered, each on a connection of its own.
fn load(way: &Way, key: &str, clients: usize) -> Loaded {
    run(way, key, clients, Duration::ZERO)
}

/// One that asks now and then: what a quiet device takes.
fn load_slowly(way: &Way, key: &str) -> Loaded {
    run(way, key, 1, Duration::from_millis(100))
}

fn run(way: &Way, key: &str, clients: usize, pause: Duration) -> Loaded {
    let header = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
    let request = request_text("GET", PATH, &header, "");
    let begun = Instant::now();
    let times = std::thread::scope(|scope| {
        let client = || {
            let mut kept = Kept::new(way.connect(PATIENCE).unwrap());
            let mut times = Vec::new();
            while begun.elapsed() < LASTS {
                let sent = Instant::now();
                kept.send(request.as_bytes()).unwrap();
                assert_eq!(kept.answer(false).unwrap().status, 200);
                times.push(sent.elapsed());
                std::thread::sleep(pause);
            }
            times
        };
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        running.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let lasted = begun.elapsed();
    let mut times = times;
    times.sort_unstable();
    Loaded { times, lasted }
}

/// The bare server as a process.
struct Peer {
    process: Child,
    socket: Way,
    tcp: Way,
    _folder: tempfile::TempDir,
}

impl Peer {
    fn start(body: &[u8]) -> Peer {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        std::fs::write(folder.path().join("body"), body).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("peer").arg(folder.path()).arg(port.to_string()).stdin(Stdio::null()).process_group(0);
        let process = command.spawn().unwrap();
        let tcp = Way::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into());
        wait_for("the bare server", || tcp.ask("GET", "/", "", "").map_err(|error| error.to_string()));
        Peer { process, socket: Way::Socket(folder.path().join("socket")), tcp, _folder: folder }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The bare server.
fn peer(folder: &Path, port: u16) {
    let body = Bytes::from(std::fs::read(folder.join("body")).unwrap());
    let socket: PathBuf = folder.join("socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let unix = tokio::net::UnixListener::bind(socket).unwrap();
        let tcp = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap();
        loop {
            let body = body.clone();
            tokio::select! {
                Ok((stream, _)) = unix.accept() => drop(tokio::spawn(serve(stream, body))),
                Ok((stream, _)) = tcp.accept() => {
                    stream.set_nodelay(true).unwrap();
                    drop(tokio::spawn(serve(stream, body)));
                }
            }
        }
    });
}

async fn serve<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(stream: T, body: Bytes) {
    let answer = service_fn(move |_| {
        let body = body.clone();
        async move { Ok::<_, Infallible>(hyper::Response::new(Full::new(body))) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
