//! Hostile clients on the unix socket and over TCP: what is malformed, too large, too slow or too much harms nobody else.

mod noise;

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{App, Cloud, Device, Kept, PATIENCE, Release, Service, Way, long_run, own_mib, request_text, wait_for};
use noise::Noise;
use serde_json::json;

const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";
/// More memory than before that a build with all its checks may take for good, MiB. What a device runs takes less.
const GROWTH_MIB: f64 = 12.0;
/// The same while it is under attack: buffers of all connections that may be open at once.
const PEAK_MIB: f64 = 24.0;

/// A settled device on the simulated engine, and both ways to its API.
struct Victim {
    device: Device,
    _cloud: Cloud,
    ways: [Way; 2],
}

impl Victim {
    fn new() -> Victim {
        let mut device = Device::simulated();
        // Rounds are timed by the agent itself; one line for each request would be what is measured.
        device.set("RUST_LOG", "holdfast::reconcile::round=trace,info");
        device.set("HOLDFAST_POLL_INTERVAL", "900000");
        let (cloud, app) = (Cloud::of(&device), App::new());
        let service = || Service::new(IMAGE).label("io.balena.features.supervisor-api", "1");
        let release = (0..5).fold(Release::new("only"), |release, n| release.service(&format!("service-{n}"), service()));
        cloud.want(&[(&app, &release)]);
        let tcp = device.join_with_port(&cloud);
        cloud.wait_settled(&app, &release);
        wait_for("the API over TCP", || tcp.ask("GET", "/ping", "", "").map_err(|error| error.to_string()));
        let ways = [device.way(), tcp];
        // What is set up on first use is not to be taken for growth.
        for way in &ways {
            (0..200).for_each(|_| assert_eq!(way.with_key("GET", "/ping", "", "").status, 200));
        }
        Victim { device, _cloud: cloud, ways }
    }

    fn pss(&self) -> f64 {
        own_mib(self.device.pid())
    }

    /// It answers on both ways, and nothing in it has panicked.
    fn is_well(&self) {
        for way in &self.ways {
            assert_eq!(way.with_key("GET", "/ping", "", "").status, 200, "{way:?}");
        }
        assert_eq!(self.device.get("/v1/healthy").status, 200);
        let log = self.device.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// Takes rounds again and again, looks at memory, and does something meanwhile; prints how all that went.
    fn while_watched(&self, what: &str, attack: impl FnOnce()) {
        let before = self.pss();
        let quiet = self.rounds_while(|| std::thread::sleep(Duration::from_secs(2))).0;
        let begun = Instant::now();
        let (busy, peak) = self.rounds_while(attack);
        let lasted = begun.elapsed();
        self.is_well();
        // What belongs to connections that are being closed goes.
        let after = wait_for("the memory to be given back", || {
            let now = self.pss();
            if now < before + GROWTH_MIB { Ok(now) } else { Err(format!("{now:.1} MiB, {before:.1} before")) }
        });
        println!(
            "{what}: {:.1} s; own memory {before:.2} MiB before, {peak:.2} at most, {after:.2} after; rounds: {quiet} before, {busy} meanwhile",
            lasted.as_secs_f64()
        );
        assert!(peak < before + PEAK_MIB, "memory is bounded");
        assert!(busy.longest < PATIENCE, "the loop goes on");
    }

    /// The loop's rounds while something is done, and the most memory seen.
    fn rounds_while(&self, work: impl FnOnce()) -> (Rounds, f64) {
        let (earlier, done) = (self.device.log().len(), AtomicBool::new(false));
        let most = std::thread::scope(|scope| {
            let (pid, socket, done) = (self.device.pid(), self.device.way(), &done);
            let watch = scope.spawn(move || {
                let mut most = 0f64;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(own_mib(pid));
                    // A look with nothing to do: one round. A full queue is an answer too.
                    let _ = socket.ask("POST", "/v1/update", "", &json!({ "force": true }).to_string());
                    std::thread::sleep(Duration::from_millis(100));
                }
                most
            });
            // Also when the work fails, which would else never be heard of.
            let ending = Ending(done);
            work();
            drop(ending);
            watch.join().unwrap()
        });
        (Rounds::of(&self.device.log()[earlier..]), most)
    }
}

/// Ends what watches, however the work ended.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long the loop's rounds took.
struct Rounds {
    count: usize,
    median: Duration,
    longest: Duration,
}

impl Rounds {
    fn of(log: &str) -> Rounds {
        let times = log.lines().filter_map(|line| line.split_once("a round took ")?.1.strip_suffix(" us")?.parse().ok());
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        assert!(!times.is_empty(), "no rounds: {log}");
        let of = Duration::from_micros;
        Rounds { count: times.len(), median: of(times[times.len() / 2]), longest: of(times[times.len() - 1]) }
    }
}

impl std::fmt::Display for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:.1?} (longest {:.1?})", self.count, self.median, self.longest)
    }
}

/// Sends bytes and reads until the other end closes or has no more to say.
fn throw(way: &Way, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = way.connect(Duration::from_secs(2)) else { return answer };
    let _ = stream.write_all(bytes);
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
    answer
}

#[test]
fn malformed_and_huge_requests() {
    let victim = Victim::new();
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(length)).into_bytes();
    let headers = |count: usize, length: usize| {
        let header = format!("X: {}\r\n", "y".repeat(length));
        format!("GET /ping HTTP/1.1\r\nHost: h\r\n{}\r\n", header.repeat(count)).into_bytes()
    };
    let body = |length: &str, sent: usize| {
        let head = format!("POST /v1/update HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.into_bytes(), vec![b'{'; sent]].concat()
    };
    let chunked = |chunks: &str| {
        format!("POST /v1/update HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunks}")
            .into_bytes()
    };
    let nested = format!("{}1{}", "{\"a\":".repeat(60_000 / 5), "}".repeat(60_000 / 5));
    let requests: Vec<Vec<u8>> = vec![
        b"\r\n\r\n\r\n\r\n".to_vec(),
        b"\0".repeat(100_000),
        b"\xff\xfe\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET http://[::/ping HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET /ping HTTP/1.1\r\nHost h\r\n\r\n".to_vec(),
        b"GET /\xc3\x28%00%zz HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(),
        b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"GET /ping HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec(),
        line(10_000),
        line(10_000_000),
        headers(50_000, 10),
        headers(10, 1_000_000),
        headers(1, 10_000_000),
        body("-1", 0),
        body("99999999999999999999999", 10),
        body("9999999999", 10_000_000),
        body("10, 20", 30),
        body("60000", 60_000),
        chunked("zz\r\n"),
        chunked("ffffffffffffffff\r\nx"),
        chunked(&format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(100)),
        request_text("POST", "/v1/update", "", &nested).into_bytes(),
        request_text("POST", "/v3/plan", "", &nested).into_bytes(),
        [request_text("GET", "/ping", "", "").repeat(5000).into_bytes(), b"\0".to_vec()].concat(),
    ];
    victim.while_watched(&format!("{} malformed or huge requests, each on both ways", requests.len()), || {
        for way in &victim.ways {
            for bytes in &requests {
                let answer = throw(way, bytes);
                let shown = String::from_utf8_lossy(&answer[..answer.len().min(300)]);
                assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{shown}");
                assert!(!shown.starts_with("HTTP/1.1 500"), "{shown}");
            }
        }
    });
}

#[test]
fn a_thousand_half_open_connections() {
    const HALF_OPEN: usize = 1000;
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: limits.maximum, ..limits })
        .unwrap();
    let victim = Victim::new();
    for way in &victim.ways {
        let mut held = Vec::new();
        let mut slowest = Duration::ZERO;
        victim.while_watched(&format!("{HALF_OPEN} half-open connections ({way:?})"), || {
            for number in 0..HALF_OPEN {
                let mut stream = way.connect(PATIENCE).expect("there is always room to connect");
                // Nothing at all, half a head, and half a body.
                let begun: &[u8] = match number % 3 {
                    0 => b"",
                    1 => b"GET /v2/state/status HTTP/1.1\r\nHost: h\r\n",
                    _ => b"POST /v1/update HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{",
                };
                let _ = stream.write_all(begun);
                held.push(stream);
                if number % 10 == 9 {
                    for other in &victim.ways {
                        let begun = Instant::now();
                        assert_eq!(other.with_key("GET", "/ping", "", "").status, 200, "{other:?}");
                        slowest = slowest.max(begun.elapsed());
                    }
                }
            }
        });
        println!("    200 others were answered meanwhile, the slowest after {slowest:.1?}");
        drop(held);
    }
}

#[test]
fn random_requests() {
    let count = if long_run() { 100_000 } else { 6_000 };
    let victim = Victim::new();
    for way in &victim.ways {
        let over_tcp = matches!(way, Way::Tcp(_));
        let title = if over_tcp { "over TCP, all keys wrong" } else { "on the unix socket" };
        let (answered, refused) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
        victim.while_watched(&format!("{count} random requests {title}"), || {
            std::thread::scope(|scope| {
                for seed in 0..8 {
                    let (answered, refused) = (&answered, &refused);
                    scope.spawn(move || {
                        let mut noise = Noise::new(seed, over_tcp);
                        let mut left = count / 8;
                        while left > 0 {
                            let batch: Vec<_> = (0..left.min(20)).map(|_| noise.request()).collect();
                            left -= batch.len();
                            for status in exchange(way, &batch) {
                                answered.fetch_add(1, Ordering::Relaxed);
                                refused.fetch_add(usize::from(status == 401), Ordering::Relaxed);
                            }
                        }
                    });
                }
            });
        });
        let (answered, refused) = (answered.into_inner(), refused.into_inner());
        println!("    {answered} were answered, {refused} of them with 401");
        assert!(answered > count / 3, "most of them are no nonsense");
        assert_eq!(refused > 0, over_tcp);
    }
}

/// Sends requests one behind the other without waiting and reads what is answered, until the other end has had enough.
fn exchange(way: &Way, batch: &[noise::Request]) -> Vec<u16> {
    let mut seen = Vec::new();
    let mut next = 0;
    while next < batch.len() {
        let mut kept = Kept::new(way.connect(PATIENCE).expect("it can be connected to"));
        let bytes: Vec<u8> = batch[next..].iter().flat_map(|request| request.bytes.iter().copied()).collect();
        let _ = kept.send(&bytes);
        let begun = next;
        while next < batch.len() {
            let request = &batch[next];
            next += 1;
            let Ok(answer) = kept.answer(request.headless) else { break };
            seen.push(answer.status);
            let about = || format!("{} {}", answer.status, String::from_utf8_lossy(&request.bytes));
            let open =
                ["", "/ping", "/v1/healthy", "/v3/openapi.json"].iter().any(|path| request.path.trim_end_matches('/') == *path);
            assert!(!request.is_stranger || open || answer.status >= 400, "somebody without a key got in: {}", about());
            if !request.is_whole || answer.headers.get("connection").is_some_and(|value| value == "close") {
                break;
            }
        }
        assert!(next > begun);
    }
    seen
}
