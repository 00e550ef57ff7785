//! What a service's key reaches: its own app, in the protocol's words for everything else.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};

use super::super::ApiState;
use super::super::body::Fields;
use super::super::caller::Caller;
use super::super::route::Call;
use super::super::table::routes;
use super::{Given, pictures};

/// An API whose loop is gone, so that nothing is ever done.
async fn state() -> ApiState {
    let (_gone, state) = Given { view: pictures::settled(), ..Given::default() }.serve_with_state().await;
    state
}

/// What a service of this app gets: status and body.
async fn ask(app: u64, method: Method, path: &str, body: &Value) -> (u16, String) {
    let caller = Caller::Service { app, service: "main".into(), controls_host: false };
    let (route, parameters) = routes()
        .filter(|route| route.method == method)
        .find_map(|route| Some((route, route.parameters(path)?)))
        .unwrap_or_else(|| panic!("{method} {path}"));
    assert!(route.admits(&caller), "{path}");
    let call = Call {
        state: state().await,
        caller,
        key: None,
        parameters,
        query: Fields::default(),
        last_event_id: None,
        body: Bytes::from(body.to_string()),
        content_type: "application/json".into(),
        wants_json: false,
        takes_gzip: false,
    };
    let answer = (route.handler)(call).await.unwrap_or_else(super::super::answer::Refusal::into_answer);
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn another_app_is_refused_in_the_protocols_words() {
    let unauthorized = json!({ "status": "failed", "message": "Unauthorized" }).to_string();
    let text = "Unauthorized".to_owned();
    let service = json!({ "appId": 5, "serviceName": "main" });
    for (path, words) in [
        ("/v1/restart", &unauthorized),
        ("/v1/purge", &unauthorized),
        ("/v1/apps/5/stop", &text),
        ("/v1/apps/5/start", &text),
        ("/v2/applications/5/restart", &unauthorized),
        ("/v2/applications/5/purge", &unauthorized),
        ("/v2/applications/5/restart-service", &unauthorized),
        ("/v2/applications/5/stop-service", &unauthorized),
        ("/v2/applications/5/start-service", &unauthorized),
    ] {
        let (status, body) = ask(7, Method::POST, path, &service).await;
        let same = serde_json::from_str::<Value>(&body).ok() == serde_json::from_str::<Value>(words).ok();
        assert!(
            status == 401 && (same || body == *words) && body.starts_with('{') == words.starts_with('{'),
            "{path}: {status} {body}"
        );
        // Its own it reaches, as far as there is somebody to do it.
        let (status, _) = ask(5, Method::POST, path, &service).await;
        assert_ne!(status, 401, "{path}");
    }
    let (status, body) = ask(7, Method::GET, "/v1/apps/5", &Value::Null).await;
    assert!(status == 401 && body.contains("Application is not available"), "{body}");
    let (status, body) = ask(7, Method::GET, "/v2/applications/5/state", &Value::Null).await;
    assert!(status == 409 && body.contains("Application ID does not exist: 5"), "{body}");
}

#[tokio::test]
async fn lists_hold_its_own_app_only() {
    for path in ["/v2/applications/state", "/v2/state/status", "/v2/containerId", "/v2/local/target-state"] {
        let (status, own) = ask(5, Method::GET, path, &Value::Null).await;
        assert!(status == 200 && own.contains("main"), "{path}: {own}");
        let (status, other) = ask(7, Method::GET, path, &Value::Null).await;
        assert!(status == 200 && !other.contains("main"), "{path}: {other}");
    }
}
