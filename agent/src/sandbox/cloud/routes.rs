//! Requests to answers.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, IF_NONE_MATCH, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::logs::{LogReader, gzip};
use super::{Endpoint, Moment, Report, Seen, Shared, devices, tags};
use crate::sandbox::listener::{self, Body, full, set, text};
use crate::sandbox::registry::digest;

/// Largest report that is read.
pub(super) const REPORT_BYTES: usize = 4 * 1024 * 1024;

type Answered = std::io::Result<Response<Body>>;

/// Answers one request and keeps a note of it.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answered {
    let endpoint = endpoint_of(&request);
    let (number, behaviour) = {
        let seen = note(&shared, &request);
        let mut state = shared.state();
        (state.requests.push(seen), state.behaviour.apply(endpoint))
    };
    look_on(&shared, endpoint, Moment::Arrived);
    tokio::time::sleep(behaviour.delay).await;
    let answer = match behaviour.failure {
        Some(failure) if behaviour.late => {
            drop(route(&shared, endpoint, request).await);
            failure.answer().await
        }
        Some(failure) => failure.answer().await,
        None => Ok(route(&shared, endpoint, request).await),
    };
    look_on(&shared, endpoint, Moment::Decided);
    if let (Ok(response), Some(seen)) = (&answer, shared.state().requests.entry(number)) {
        seen.status = response.status().as_u16();
    }
    answer
}

fn look_on(shared: &Shared, endpoint: Endpoint, moment: Moment) {
    // Called without the lock, so that it may ask the cloud.
    let onlooker = shared.state().onlooker.clone();
    if let Some(onlooker) = onlooker {
        onlooker(endpoint, moment);
    }
}

fn note(shared: &Shared, request: &Request<Incoming>) -> Seen {
    let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Seen {
        at: shared.started.elapsed(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        if_none_match: header(IF_NONE_MATCH),
        user_agent: header(USER_AGENT),
        status: 0,
    }
}

fn endpoint_of(request: &Request<Incoming>) -> Endpoint {
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match (request.method(), path.as_slice()) {
        (&Method::GET, ["device", "v3", _, "state"]) => Endpoint::State,
        (&Method::PATCH, ["device", "v3", "state"]) => Endpoint::Report,
        (&Method::POST, ["device", "v2", _, "log-stream"]) => Endpoint::Logs,
        (&Method::GET, ["auth", "v1", "token"]) => Endpoint::Token,
        (method, path) => devices::endpoint_of(method, path).unwrap_or(Endpoint::Other),
    }
}

async fn route(shared: &Shared, endpoint: Endpoint, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    match endpoint {
        Endpoint::Register | Endpoint::Find | Endpoint::DeviceKey | Endpoint::Name | Endpoint::Release => {
            return devices::answer(shared, endpoint, request).await;
        }
        Endpoint::Token if token_allowed(shared, &request) => {
            return listener::json(StatusCode::OK, &json!({ "token": "embedded-cloud-token" }));
        }
        Endpoint::Other if path == "/ping" => return text(StatusCode::OK, "OK"),
        Endpoint::Other => {
            let answered = tags::answer(shared, request).await;
            return answered.unwrap_or_else(|_| text(StatusCode::NOT_FOUND, "Not Found"));
        }
        _ => {}
    }
    // The device's uuid stands in the path of the poll and of the log stream.
    let asked_for = if endpoint == Endpoint::Report { None } else { path.split('/').nth(3) };
    let Some(uuid) = device_of(shared, &request).filter(|uuid| asked_for.is_none_or(|asked| asked == uuid)) else {
        return text(StatusCode::UNAUTHORIZED, "Unauthorized");
    };
    match endpoint {
        Endpoint::State => target(shared, &uuid, &request),
        Endpoint::Report => report(shared, &uuid, request).await,
        _ => logs(shared, request).await,
    }
}

/// The uuid of the device whose key a request carries.
pub(super) fn device_of(shared: &Shared, request: &Request<Incoming>) -> Option<String> {
    let key = header(request, AUTHORIZATION.as_str())?.strip_prefix("Bearer ")?;
    if key == shared.key {
        return Some(shared.uuid.clone());
    }
    shared.state().devices.by_key(key).map(|device| device.uuid.clone())
}

pub(super) fn header<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Anonymous or this device (protocol §11).
fn token_allowed(shared: &Shared, request: &Request<Incoming>) -> bool {
    header(request, AUTHORIZATION.as_str())
        .is_none_or(|value| value == format!("Basic {}", base64(format!("d_{}:{}", shared.uuid, shared.key).as_bytes())))
}

fn target(shared: &Shared, uuid: &str, request: &Request<Incoming>) -> Response<Body> {
    let state = shared.state();
    let own = uuid == shared.uuid;
    let body = if own { state.target.to_string() } else { json!({ uuid: state.devices.entry }).to_string() };
    drop(state);
    let hash = digest(body.as_bytes());
    let etag = format!("W/\"{:x}-{}\"", body.len(), &hash[7..34]);
    if header(request, IF_NONE_MATCH.as_str()) == Some(&etag) {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set(&mut response, "etag", &etag);
        return response;
    }
    let accepts = header(request, ACCEPT_ENCODING.as_str()).is_some_and(|value| value.contains("gzip"));
    let packed = if accepts { gzip(body.as_bytes()).ok() } else { None };
    let mut response = match packed {
        Some(packed) => {
            let mut response = Response::new(full(packed));
            set(&mut response, "content-encoding", "gzip");
            response
        }
        None => Response::new(full(body)),
    };
    set(&mut response, "content-type", "application/json; charset=utf-8");
    set(&mut response, "etag", &etag);
    response
}

/// The whole body, or why it was not read.
pub(super) async fn read(request: Request<Incoming>, limit_bytes: usize) -> Result<bytes::Bytes, String> {
    let read = http_body_util::Limited::new(request.into_body(), limit_bytes).collect().await;
    read.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

async fn report(shared: &Shared, uuid: &str, request: Request<Incoming>) -> Response<Body> {
    let body = match read(request, REPORT_BYTES).await {
        Ok(body) => body,
        Err(error) => return text(StatusCode::PAYLOAD_TOO_LARGE, &error),
    };
    let parsed = serde_json::from_slice::<Value>(&body);
    let mut state = shared.state();
    let verdict = match &parsed {
        Ok(value) => state.known.judge(value, uuid).map_err(|r| (r.status, r.message)),
        Err(e) => Err((400, format!("not JSON: {e}"))),
    };
    let body = parsed.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    if verdict.is_ok() {
        let fields = body.get(uuid).and_then(Value::as_object).cloned().unwrap_or_default();
        merge(&mut state.device, fields);
    }
    let (status, refusal) = match verdict {
        Ok(()) => (200, None),
        Err((status, message)) => (status, Some(message)),
    };
    let answer = text(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), refusal.as_deref().unwrap_or("OK"));
    state.reports.push(Report { at: shared.started.elapsed(), status, refusal, body });
    answer
}

/// A field that is sent replaces the one before; fields not sent stay (protocol §6.5).
fn merge(device: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (field, value) in fields {
        device.insert(field, value);
    }
}

async fn logs(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let packed = header(&request, CONTENT_ENCODING.as_str()) == Some("gzip");
    let mut reader = LogReader::new(packed);
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return text(StatusCode::BAD_REQUEST, "the stream broke") };
        let Some(piece) = frame.data_ref() else { continue };
        match reader.take(piece) {
            Ok(lines) => {
                let mut state = shared.state();
                for line in lines {
                    state.log_lines.push(line);
                }
            }
            Err(message) => return text(StatusCode::BAD_REQUEST, &message),
        }
    }
    text(StatusCode::CREATED, "")
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (group >> (18 - 6 * i)) & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
