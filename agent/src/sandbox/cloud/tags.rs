//! The embedded cloud's tags of devices (protocol §7, §8).

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::routes::{REPORT_BYTES, device_of, read};
use crate::sandbox::listener::{self, Body, text};

/// Answers requests about tags; `None` when this is none.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Request<Incoming>> {
    let path = request.uri().path();
    let sets = request.method() == Method::PATCH && path == "/device/v3/tags";
    let asks = request.method() == Method::GET && path == "/v7/device_tag";
    if !sets && !asks {
        return Err(request);
    }
    let Some(uuid) = device_of(shared, &request) else { return Ok(text(StatusCode::UNAUTHORIZED, "Unauthorized")) };
    if asks {
        let tags = shared.state().tags.clone();
        let row = |(id, (key, value)): (usize, (&String, &Value))| json!({ "id": id + 1, "tag_key": key, "value": value });
        let rows: Vec<Value> = tags.iter().enumerate().map(row).collect();
        return Ok(listener::json(StatusCode::OK, &json!({ "d": rows })));
    }
    let body: Value =
        read(request, REPORT_BYTES).await.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let Some(tags) = body[&uuid].as_object().filter(|tags| !tags.is_empty()) else {
        return Ok(text(StatusCode::BAD_REQUEST, "no tags to set"));
    };
    shared.state().tags.extend(tags.clone());
    Ok(text(StatusCode::OK, "OK"))
}
