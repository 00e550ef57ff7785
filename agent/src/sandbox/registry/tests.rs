//! The registry seen through a raw connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{EmbeddedRegistry, MANIFEST_TYPE, Recipe, build, digest};
use crate::sandbox::program::Machine;

fn send(registry: &EmbeddedRegistry, request: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
}

#[test]
fn what_it_serves_has_the_digest_it_says() {
    let registry = EmbeddedRegistry::start().unwrap();
    let image = build(&Recipe::program(Machine::X86_64, "web", "1"));
    let reference = registry.add("v2/web", "latest", &image);
    assert_eq!(reference, format!("{}/v2/web@{}", registry.address(), image.digest));
    assert!(send(&registry, "GET /v2/", "").0.starts_with("HTTP/1.1 200"));
    for name in ["latest", &image.digest] {
        let (head, body) = send(&registry, &format!("GET /v2/v2/web/manifests/{name}"), "");
        assert!(head.contains(MANIFEST_TYPE) && head.contains(&format!("docker-content-digest: {}", image.digest)), "{head}");
        assert_eq!(digest(&body), image.digest);
    }
    for (name, bytes) in &image.blobs {
        let (head, body) = send(&registry, &format!("GET /v2/v2/web/blobs/{name}"), "");
        assert!(head.contains(&format!("content-length: {}", bytes.len())), "{head}");
        assert_eq!(&digest(&body), name);
        let (head, body) = send(&registry, &format!("HEAD /v2/v2/web/blobs/{name}"), "");
        assert!(head.contains(&format!("content-length: {}", bytes.len())) && body.is_empty(), "{head}");
    }
    assert_eq!(registry.blobs_sent(), 2);
}

#[test]
fn a_blob_may_be_asked_for_in_part() {
    let registry = EmbeddedRegistry::start().unwrap();
    let image = build(&Recipe::program(Machine::Aarch64, "web", "1"));
    registry.add("web", "1", &image);
    let (name, bytes) = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let path = format!("GET /v2/web/blobs/{name}");
    let (head, body) = send(&registry, &path, "range: bytes=10-19\r\n");
    assert!(head.starts_with("HTTP/1.1 206") && head.contains(&format!("content-range: bytes 10-19/{}", bytes.len())), "{head}");
    assert_eq!(body, bytes[10..20]);
    assert_eq!(send(&registry, &path, "range: bytes=512-\r\n").1, bytes[512..]);
    assert!(send(&registry, &path, "range: bytes=9999999-\r\n").0.starts_with("HTTP/1.1 416"));
}

#[test]
fn the_unknown_is_named() {
    let registry = EmbeddedRegistry::start().unwrap();
    let (head, body) = send(&registry, "GET /v2/nothing/manifests/latest", "");
    assert!(head.starts_with("HTTP/1.1 404") && String::from_utf8_lossy(&body).contains("MANIFEST_UNKNOWN"));
    assert!(send(&registry, "GET /elsewhere", "").0.starts_with("HTTP/1.1 404"));
    assert!(send(&registry, "POST /v2/web/blobs/uploads/", "content-length: 0\r\n").0.starts_with("HTTP/1.1 405"));
}
