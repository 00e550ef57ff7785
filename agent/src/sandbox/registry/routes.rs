//! Requests to answers.

use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::header::RANGE;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::{Content, MANIFEST_TYPE, content};
use crate::sandbox::listener::{self, Body, full, set};

/// Answers one request.
pub(super) async fn answer(shared: Arc<Mutex<Content>>, request: Request<Incoming>) -> std::io::Result<Response<Body>> {
    let head = request.method() == Method::HEAD;
    if !head && request.method() != Method::GET {
        return Ok(refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "only pulls are served"));
    }
    content(&shared).requests += 1;
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix("/v2/") else {
        return Ok(refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "not a registry path"));
    };
    let mut response = if rest.is_empty() {
        listener::json(StatusCode::OK, &json!({}))
    } else if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
        manifest(&shared, repository, reference)
    } else if let Some((_, digest)) = rest.rsplit_once("/blobs/") {
        let range = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
        blob(&shared, digest, range, head).await
    } else {
        refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "not a registry path")
    };
    set(&mut response, "docker-distribution-api-version", "registry/2.0");
    if head {
        *response.body_mut() = full("");
    }
    Ok(response)
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    listener::json(status, &json!({ "errors": [{ "code": code, "message": message }] }))
}

fn manifest(shared: &Mutex<Content>, repository: &str, reference: &str) -> Response<Body> {
    let content = content(shared);
    let key = |text: &str| (repository.to_owned(), text.to_owned());
    let digest = if reference.contains(':') { Some(reference) } else { content.tags.get(&key(reference)).map(String::as_str) };
    match digest.and_then(|digest| Some((digest, content.manifests.get(&key(digest))?))) {
        Some((digest, bytes)) => bytes_of(digest, MANIFEST_TYPE, bytes.clone()),
        None => refuse(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

async fn blob(shared: &Mutex<Content>, digest: &str, range: Option<&str>, head: bool) -> Response<Body> {
    let (found, delay) = {
        let content = content(shared);
        (content.blobs.get(digest).cloned(), content.blob_delay)
    };
    let Some(bytes) = found else {
        return refuse(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    if !head {
        tokio::time::sleep(delay).await;
        content(shared).pulled += 1;
    }
    let total = bytes.len();
    let mut response = match range.map(|range| parse_range(range, total)) {
        None => bytes_of(digest, "application/octet-stream", bytes),
        Some(Some((first, last))) => {
            let mut response = bytes_of(digest, "application/octet-stream", bytes[first..=last].to_vec());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, "content-range", &format!("bytes {first}-{last}/{total}"));
            response
        }
        Some(None) => {
            let mut response = refuse(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "invalid range");
            set(&mut response, "content-range", &format!("bytes */{total}"));
            response
        }
    };
    set(&mut response, "accept-ranges", "bytes");
    response
}

fn bytes_of(digest: &str, media_type: &str, bytes: Vec<u8>) -> Response<Body> {
    let length = bytes.len();
    let mut response = Response::new(full(bytes));
    set(&mut response, "content-type", media_type);
    set(&mut response, "content-length", &length.to_string());
    set(&mut response, "docker-content-digest", digest);
    response
}

/// One range `bytes=first-[last]` within `total`; first and last byte, both included.
fn parse_range(text: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = total.checked_sub(1)?;
    let last = if last.is_empty() { end } else { last.parse::<usize>().ok()?.min(end) };
    (first <= last).then_some((first, last))
}
