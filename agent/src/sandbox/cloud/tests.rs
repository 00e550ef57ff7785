//! The cloud seen through a raw connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Behaviour, EmbeddedCloud, Endpoint, Failure};

const UUID: &str = "0123456789abcdef0123456789abcdef";

fn cloud() -> EmbeddedCloud {
    EmbeddedCloud::start(UUID, "key").unwrap()
}

/// Sends one request and reads to the end of the connection (or until nothing comes for a second).
fn send(cloud: &EmbeddedCloud, request: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", cloud.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn get(cloud: &EmbeddedCloud, headers: &str) -> String {
    let headers = format!("authorization: Bearer key\r\n{headers}");
    String::from_utf8_lossy(&send(cloud, &format!("GET /device/v3/{UUID}/state"), &headers, b"")).into_owned()
}

#[test]
fn the_target_has_an_etag_and_may_be_packed() {
    let cloud = cloud();
    cloud.set_target(json!({ UUID: { "name": "here", "config": {}, "apps": {} } }));
    let answer = get(&cloud, "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"here\""), "{answer}");
    let etag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert!(etag.starts_with("W/\""));
    assert!(get(&cloud, &format!("if-none-match: {etag}\r\n")).starts_with("HTTP/1.1 304"));
    assert!(get(&cloud, "accept-encoding: gzip\r\n").contains("content-encoding: gzip"));
    cloud.set_target(json!({ UUID: { "name": "there", "config": {}, "apps": {} } }));
    assert!(get(&cloud, &format!("if-none-match: {etag}\r\n")).starts_with("HTTP/1.1 200"));
    let seen = cloud.requests();
    assert_eq!(seen.iter().map(|s| s.status).collect::<Vec<_>>(), [200, 304, 200, 200]);
    assert_eq!(seen[1].if_none_match.as_deref(), Some(etag.as_str()));
}

#[test]
fn a_wrong_key_is_refused() {
    let cloud = cloud();
    for (path, header) in [
        (format!("GET /device/v3/{UUID}/state"), "authorization: Bearer other\r\n"),
        (format!("GET /device/v3/{UUID}/state"), ""),
        ("GET /device/v3/somebody/state".into(), "authorization: Bearer key\r\n"),
        ("GET /auth/v1/token?service=x".into(), "authorization: Basic eDp5\r\n"),
    ] {
        let answer = send(&cloud, &path, header, b"");
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(send(&cloud, "GET /ping", "", b"").ends_with(b"OK"));
    assert!(send(&cloud, "GET /auth/v1/token", "", b"").starts_with(b"HTTP/1.1 200"));
}

#[test]
fn reports_are_merged_and_kept() {
    let cloud = cloud();
    let patch = |body: serde_json::Value| {
        send(&cloud, "PATCH /device/v3/state", "authorization: Bearer key\r\n", body.to_string().as_bytes())
    };
    assert!(patch(json!({ UUID: { "status": "Idle", "api_port": 1 } })).starts_with(b"HTTP/1.1 200"));
    assert!(patch(json!({ UUID: { "api_port": 2 } })).starts_with(b"HTTP/1.1 200"));
    assert!(patch(json!({ UUID: { "api_port": "x" } })).starts_with(b"HTTP/1.1 400"));
    assert_eq!(cloud.device(), json!({ "status": "Idle", "api_port": 2 }));
    let reports = cloud.reports();
    assert_eq!(reports.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 200, 400]);
    assert!(reports[2].refusal.as_ref().unwrap().contains("api_port"));
}

#[test]
fn log_lines_are_kept() {
    let cloud = cloud();
    let body = super::logs::gzip(b"{\"message\":\"hello\",\"isSystem\":true}\n").unwrap();
    let headers = "authorization: Bearer key\r\ncontent-encoding: gzip\r\n";
    assert!(send(&cloud, &format!("POST /device/v2/{UUID}/log-stream"), headers, &body).starts_with(b"HTTP/1.1 201"));
    assert_eq!(cloud.log_lines()[0]["message"], "hello");
}

#[test]
fn it_misbehaves_as_told() {
    let cloud = cloud();
    let with = |failure: Failure| {
        cloud.set_behaviour(Behaviour::failing(failure));
        get(&cloud, "")
    };
    assert!(with(Failure::Status(500)).starts_with("HTTP/1.1 500"));
    assert!(with(Failure::TooManyRequests { retry_after_s: 7 }).contains("retry-after: 7"));
    assert!(with(Failure::Html).contains("text/html"));
    let half = with(Failure::HalfBody);
    let length: usize = half.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let body = half.split_once("\r\n\r\n").unwrap().1;
    assert!(!body.is_empty() && body.len() < length, "{half}");
    assert!(with(Failure::Oversize { bytes: 300_000 }).len() > 300_000);
    assert_eq!(with(Failure::Silent), "");
    assert_eq!(with(Failure::HangUp), "");
}

#[test]
fn misbehaviour_may_be_limited() {
    let cloud = cloud();
    cloud.set_behaviour(Behaviour { times: Some(1), ..Behaviour::failing(Failure::Status(503)) });
    assert!(get(&cloud, "").starts_with("HTTP/1.1 503"));
    assert!(get(&cloud, "").starts_with("HTTP/1.1 200"));
    cloud.set_behaviour(Behaviour { only: Some(Endpoint::Report), ..Behaviour::failing(Failure::Status(503)) });
    assert!(get(&cloud, "").starts_with("HTTP/1.1 200"));
    cloud.set_behaviour(Behaviour { delay: Duration::from_millis(150), ..Behaviour::default() });
    let started = Instant::now();
    assert!(get(&cloud, "").starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn it_frees_its_port_and_comes_back() {
    let first = cloud();
    let port = first.port();
    drop(first);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let again = EmbeddedCloud::start_on(port, UUID, "key").unwrap();
    assert!(get(&again, "").starts_with("HTTP/1.1 200"));
}
