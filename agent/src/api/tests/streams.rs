//! Answers without an end: their readers, their places, and who sees what.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

fn patient_but_for_stalls() -> Given {
    let limits = Limits { answer_time: Duration::from_millis(200), write_stall: Duration::from_millis(400), ..Limits::default() };
    Given { limits, endless_events: true, ..Given::default() }
}

async fn ask(served: &Served, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Reads until the stream ends or so many bytes have come.
async fn read(stream: &mut UnixStream, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < most && matches!(stream.read_buf(&mut bytes).await, Ok(read) if read > 0) {}
    bytes
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_let_go_and_one_that_reads_goes_on() {
    let served = patient_but_for_stalls().serve().await;
    let mut idle = ask(&served, "/v3/events?since=0").await;
    let mut busy = ask(&served, "/v3/events?since=0").await;
    let begin = Instant::now();
    let mut taken = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        taken += read(&mut busy, 200_000).await.len();
    }
    assert!(taken > 400_000, "{taken} bytes: it went on for longer than an answer may take");
    // What the other one had not taken is all that was ever made for it: what fits into the socket.
    let left = read(&mut idle, usize::MAX).await;
    assert!(left.len() < 2_000_000, "{} bytes", left.len());
    let last = String::from_utf8_lossy(&left).into_owned();
    assert!(!last.ends_with("0\r\n\r\n"), "it was broken off");
}

#[tokio::test]
async fn a_stop_ends_them_in_order() {
    let served = Given::default().serve().await;
    let mut stream = ask(&served, "/v3/events").await;
    let mut begin = Vec::new();
    while !String::from_utf8_lossy(&begin).contains("\"phase\"") {
        assert!(stream.read_buf(&mut begin).await.unwrap() > 0);
    }
    served.streams.send_replace(true);
    let last_chunk = async {
        while !begin.ends_with(b"0\r\n\r\n") {
            assert!(stream.read_buf(&mut begin).await.unwrap() > 0, "it was broken off");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), last_chunk).await.expect("the last chunk comes");
}

#[tokio::test]
async fn their_places_are_counted_and_given_back() {
    let served = Given::default().serve().await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = ask(&served, "/v3/events").await;
        assert!(!read(&mut stream, 1).await.is_empty());
        streams.push(stream);
    }
    assert_eq!(served.refused("GET", "/v3/events", "").await.0, 503);
    assert_eq!(served.refused("GET", "/v3/logs?follow=1", "").await.0, 503, "logs take the same");
    served.get("/v3/events?follow=0").await;
    streams.pop();
    let begin = Instant::now();
    loop {
        let mut again = ask(&served, "/v3/events").await;
        if read(&mut again, 15).await.starts_with(b"HTTP/1.1 200") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the place was not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn wrong_questions_are_told_what_is_wrong() {
    let served = Given::default().serve().await;
    for (path, word) in [
        ("/v3/events?since=x", "since=x"),
        ("/v3/events?follow=0&limit=5000", "0 to 1000"),
        ("/v3/logs?lines=many", "0 to 10000 or all"),
        ("/v3/logs?since=yesterday", "such as 2026"),
    ] {
        let (status, message) = served.refused("GET", path, "").await;
        assert!(status == 400 && message.contains(word), "{path}: {status} {message}");
    }
    assert_eq!(served.refused("GET", "/v3/logs?service=nobody", "").await.0, 404);
    assert_eq!(served.refused("POST", "/v2/journal-logs", "{\"count\":-1}").await.0, 400);
}
