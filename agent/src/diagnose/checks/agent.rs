//! The agent itself, and what it was told.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::some;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::http;

const LIMIT: Duration = Duration::from_secs(8);
const MOST_BYTES: usize = 8 * 1024 * 1024;
const START: &str = "systemctl status holdfast says why it does not run, journalctl -u holdfast what it said last; \
                     systemctl restart holdfast starts it again";

/// Whether the agent answers on its socket, and what it thinks of itself.
pub(super) async fn answers(scene: &Scene) -> Judgement {
    let socket = &scene.settings.socket;
    let ask = |path| http::ask(socket, Method::GET, path, LIMIT, MOST_BYTES);
    let (status, text) = match ask("/v1/healthy").await {
        Ok((status, body)) => (status.as_u16(), String::from_utf8_lossy(&body).into_owned()),
        Err(cause) => {
            let running = if scene.is_held() { "one runs, and does not answer" } else { "none runs" };
            return Judgement::failed(format!("no agent answers at {}: {cause}; {running}", socket.display()), START);
        }
    };
    if status == 200 {
        return Judgement::ok(format!("it answers at {} and is healthy", socket.display()));
    }
    let reasons = match ask("/v3/status").await {
        Ok((_, body)) => reasons(&serde_json::from_slice(&body).unwrap_or_default()),
        Err(_) => Vec::new(),
    };
    let why = if reasons.is_empty() { http::shorten(&text) } else { some(&reasons) };
    Judgement::failed(
        format!("it answers and is not healthy: {why}"),
        "holdfast status shows what it is at; if it is stuck, systemctl restart holdfast",
    )
}

fn reasons(status: &Value) -> Vec<String> {
    let reasons = status["health"]["reasons"].as_array();
    reasons.into_iter().flatten().filter_map(|reason| reason.as_str().map(str::to_owned)).collect()
}

/// Whether config.json and the settings can be understood.
pub(super) fn settings(scene: &Scene) -> Judgement {
    let faults: Vec<String> = scene.faults.iter().map(ToString::to_string).collect();
    let cloud = &scene.settings.cloud;
    let path = scene.settings.config.display();
    match (faults.is_empty(), cloud.api_endpoint.as_str()) {
        (false, _) => Judgement::failed(some(&faults), format!("mend {path}; the agent takes it at its next start")),
        (true, "") => Judgement::ok(format!("{path} names no apiEndpoint: this device is unmanaged")),
        (true, endpoint) if cloud.uuid.is_none() || cloud.device_api_key.is_none() => Judgement::warning(
            format!("{path} names {endpoint} but no identity yet: the device has still to join it"),
            "holdfast status shows how far that is; it needs apiKey, applicationId and deviceType in config.json",
        ),
        (true, endpoint) => Judgement::ok(format!("{path} is understood; the cloud is {endpoint}")),
    }
}
