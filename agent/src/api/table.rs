//! From a request to its handler: one table, made of the versions' own.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::answer::{Answer, Outcome, Refusal};
use super::body::{self, Fields};
use super::caller::Caller;
use super::route::{BodyKind, Call, Route};
use super::{ApiState, Limits, diagnose, host, transfer, upkeep, v1, v2, v3};

/// Bytes of a request's body where only a few fields are expected.
const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Bytes of a target document: as much as the cloud may send.
const TARGET_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How much of an unknown path is repeated in the answer.
const SHOWN_PATH_CHARS: usize = 100;

/// What all connections share.
pub(super) struct Service {
    state: ApiState,
    pub limits: Limits,
    target_bodies: Semaphore,
}

impl Service {
    pub fn new(state: ApiState, limits: Limits) -> Service {
        Service { state, limits, target_bodies: Semaphore::new(1) }
    }
}

/// Every route there is.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    v1::ROUTES.iter().chain(&v2::ROUTES).chain(&v3::ROUTES).chain(&upkeep::ROUTES).chain(&host::ROUTES).chain(&diagnose::ROUTES)
}

/// Answers a request, whatever it is, within the time limit.
pub(super) async fn answer(service: &Service, caller: Caller, request: Request<Incoming>) -> Answer {
    // A copy takes as long as it takes; it has limits of its own.
    if caller == Caller::Operator
        && let Some(volume) = transfer::volume_of(request.uri().path()).map(str::to_owned)
    {
        return transfer::answer(&service.state, &volume, request).await.unwrap_or_else(Refusal::into_answer);
    }
    let limit = service.limits.answer_time;
    let outcome = tokio::time::timeout(limit, dispatch(service, caller, request)).await.unwrap_or_else(|_| {
        Err(Refusal::unavailable(format!("the agent could not answer within {} s; nothing is left running", limit.as_secs_f32())))
    });
    outcome.unwrap_or_else(Refusal::into_answer)
}

async fn dispatch(service: &Service, caller: Caller, request: Request<Incoming>) -> Outcome {
    let (route, parameters) = find(request.method(), request.uri().path())?;
    if !route.admits(&caller) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let query = Fields::urlencoded(request.uri().query().unwrap_or_default().as_bytes());
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_json = accepted.to_ascii_lowercase().contains("application/json");
    let time = service.limits.body_time;
    let _turn = match route.body {
        BodyKind::Target => service.target_bodies.acquire().await.ok(),
        _ => None,
    };
    let body = match route.body {
        BodyKind::None => Bytes::new(),
        BodyKind::Small => body::read(request.into_body(), SMALL_BODY_BYTES, time).await?,
        BodyKind::Target => body::read(request.into_body(), TARGET_BODY_BYTES, time).await?,
    };
    let state = service.state.clone();
    (route.handler)(Call { state, caller, parameters, query, body, content_type, wants_json }).await
}

/// The route of a method and path. `HEAD` is answered as `GET`; a slash at the end changes nothing.
fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Refusal> {
    let path = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    };
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allowed = Vec::new();
    for (route, parameters) in routes().filter_map(|route| Some((route, route.parameters(path)?))) {
        if route.method == *wanted {
            return Ok((route, parameters));
        }
        allowed.push(route.method.as_str());
    }
    if allowed.is_empty() {
        let shown: String = path.chars().take(SHOWN_PATH_CHARS).collect();
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at {shown}")));
    }
    let allowed = allowed.join(", ");
    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} answers to {allowed}, not to {method}"));
    refusal.allow = Some(allowed);
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_route_stands_twice() {
        let mut seen = BTreeSet::new();
        for route in routes() {
            assert!(seen.insert((route.method.as_str(), route.path)), "{} {}", route.method, route.path);
            assert_eq!(route.body == BodyKind::None, route.method == Method::GET, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn unknown_paths_and_methods() {
        assert_eq!(find(&Method::GET, "/v9").err().unwrap().status, StatusCode::NOT_FOUND);
        assert_eq!(find(&Method::GET, "").err().unwrap().status, StatusCode::NOT_FOUND);
        let refusal = find(&Method::DELETE, "/v3/plan").err().unwrap();
        assert_eq!((refusal.status, refusal.allow.as_deref()), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, POST")));
        assert_eq!(find(&Method::HEAD, "/ping/").ok().unwrap().0.path, "/ping");
    }
}
