//! Requests that are wrong, too large, too slow or too many.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

fn impatient() -> Given {
    let short = Duration::from_millis(300);
    let limits = Limits { header_time: short, body_time: short, answer_time: short * 4, write_stall: short, ..Limits::default() };
    Given { limits, ..Given::default() }
}

#[tokio::test]
async fn an_order_is_waited_for_as_long_as_config_json_says() {
    let limits = Limits::of(Duration::from_secs(60));
    assert_eq!(limits.slow_time, Duration::from_secs(80), "with time to tell what became of it");
    let limits = Limits { slow_time: Duration::from_millis(200), ..limits };
    let served = Given { limits, view: pictures::locked(), ..Given::default() }.serve().await;
    let (status, message) = served.refused("POST", "/v1/restart", "{\"appId\": 5}").await;
    assert!(status == 503 && message.contains("within 0.2 s; what was asked for goes on"), "{status} {message}");
}

/// Sends bytes as they are and reads until the server closes.
async fn raw(served: &Served, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_served(served: &Served) {
    let ping = tokio::time::timeout(Duration::from_secs(5), client::get(&served.socket, "/ping")).await;
    assert!(ping.unwrap().is_ok());
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let served = Given::default().serve().await;
    assert_eq!(served.refused("GET", "/v4/x", "").await, (404, "there is nothing at /v4/x".into()));
    assert_eq!(served.refused("POST", "/ping", "").await, (405, "/ping answers to GET, not to POST".into()));
    assert_eq!(served.refused("GET", "/v1/update", "").await.0, 405);
    let answer = raw(&served, b"DELETE /v3/plan HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, POST"), "{answer}");
    let head = raw(&served, b"HEAD /ping HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn forms_are_understood() {
    let mut served = Given::default().serve().await;
    let request = "POST /v1/update HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                   content-length: 17\r\nconnection: close\r\n\r\nforce=on&cancel=0";
    assert!(raw(&served, request.as_bytes()).await.starts_with("HTTP/1.1 204"));
    assert!(matches!(served.requests.try_recv().unwrap(), Request::Look { force: true, cancel: false, .. }));
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let served = Given::default().serve().await;
    let (status, message) = served.refused("POST", "/v1/update", &"x".repeat(70_000)).await;
    assert_eq!((status, message.contains("larger than the 65536 bytes")), (413, true));
    // Without a length: found out while reading.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let request = format!("POST /v1/update HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    assert!(raw(&served, request.as_bytes()).await.starts_with("HTTP/1.1 413"));
    is_served(&served).await;
}

#[tokio::test]
async fn malformed_requests_and_huge_headers() {
    let served = impatient().serve().await;
    let huge = format!("GET /ping HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET /ping HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(500));
    for bytes in [b"\x16\x03\x01\x00\xff".as_slice(), b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", huge.as_bytes(), many.as_bytes()] {
        let answer = raw(&served, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    is_served(&served).await;
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let served = impatient().serve().await;
    let slow = [
        b"".as_slice(),
        b"GET /pi",
        b"GET /ping HTTP/1.1\r\nhost: a\r\n",
        // An idle kept-alive connection counts as slow as well.
        b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for bytes in slow {
        let begun = Instant::now();
        raw(&served, bytes).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{bytes:?}");
    }
    let body = raw(&served, b"POST /v1/update HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\nconnection: close\r\n\r\nfor").await;
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("did not arrive within"), "{body}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let long: &'static str = Box::leak(format!("\"{}\"", "x".repeat(4 << 20)).into_boxed_str());
    let mut given = Given { stored: Some(long), ..impatient() };
    given.limits.connections = 1;
    let served = given.serve().await;
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream.write_all(b"GET /v3/target HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // The only slot is free again although the client is still there.
    is_served(&served).await;
    drop(stream);
}

#[tokio::test]
async fn many_half_open_connections_pass() {
    let mut given = impatient();
    given.limits.connections = 4;
    let served = given.serve().await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = UnixStream::connect(&served.socket).await.unwrap();
        stream.write_all(b"GET /pi").await.unwrap();
        held.push(stream);
    }
    is_served(&served).await;
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let mut given = impatient();
    given.store_time = Duration::from_secs(9);
    let served = given.serve().await;
    let (status, message) = served.refused("GET", "/v3/target", "").await;
    assert_eq!((status, message.contains("could not answer within")), (503, true));
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_the_socket_away() {
    let mut served = Given { stored: Some("{}"), store_time: Duration::from_millis(300), ..Given::default() }.serve().await;
    let socket = served.socket.clone();
    let _idle = UnixStream::connect(&socket).await.unwrap();
    let running = tokio::spawn(async move { client::get(&socket, "/v3/target").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop().await;
    assert!(running.await.unwrap().is_ok(), "what runs is answered");
    assert!(!served.socket.exists());
}

#[tokio::test]
async fn what_may_have_been_handed_on_is_not_said_to_be_given_up() {
    let mut given = impatient();
    given.store_time = Duration::from_secs(9);
    let mut served = given.serve().await;
    let (status, message) = served.refused("POST", "/v1/reboot", "{}").await;
    assert!(status == 503 && message.ends_with("what was asked for may still be done"), "{message}");
    assert!(matches!(served.requests.try_recv().unwrap(), Request::Host { .. }), "it was");
    let (_, message) = served.refused("GET", "/v3/target", "").await;
    assert!(message.ends_with("nothing is left running"), "{message}");
}
