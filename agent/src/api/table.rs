//! From a request to its handler: one table, made of the versions' own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::access::{Asker, Origin, identify};
use super::answer::{Answer, AnswerBody, Outcome, Refusal, text};
use super::body::{self, Fields};
use super::caller::Caller;
use super::connections::{Presence, UnderWay};
use super::route::{Access, BodyKind, Call, Route};
use super::{ApiState, Limits, transfer};
use super::{
    actions, agent, app_details, device, diagnose, events, host, journal, keys, local, logs, metrics, openapi, page, stats,
    upkeep, v1, v2, v3,
};

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
    let groups: [&'static [Route]; 19] = [
        &v1::ROUTES,
        &v2::ROUTES,
        &v3::ROUTES,
        &upkeep::ROUTES,
        &host::ROUTES,
        &stats::ROUTES,
        &metrics::ROUTES,
        &actions::ROUTES,
        &app_details::ROUTES,
        &device::ROUTES,
        &local::ROUTES,
        &keys::ROUTES,
        &agent::ROUTES,
        &events::ROUTES,
        &logs::ROUTES,
        &journal::ROUTES,
        &openapi::ROUTES,
        &diagnose::ROUTES,
        &page::ROUTES,
    ];
    groups.into_iter().flatten()
}

/// Answers a request, whatever it is, within the time limit. The request counts as under way until the last of its answer has
/// been handed over.
pub(super) async fn answer(
    service: &Service,
    origin: Origin,
    presence: &Arc<Presence>,
    request: Request<Incoming>,
) -> Response<Guarded> {
    let under_way = presence.begin();
    let query = Fields::urlencoded(request.uri().query().unwrap_or_default().as_bytes());
    let answer = match identify(&service.state, origin, &query, request.headers()) {
        Ok(asker) => {
            presence.know(asker.caller != Caller::Nobody);
            answer_to(service, asker, presence, query, request).await
        }
        Err(refusal) => refusal.into_answer(),
    };
    answer.map(|body| Guarded { body, _under_way: under_way })
}

async fn answer_to(service: &Service, asker: Asker, presence: &Presence, query: Fields, request: Request<Incoming>) -> Answer {
    // A copy takes as long as it takes; it has limits of its own.
    if let Some(volume) = transfer::volume_of(request.uri().path()).map(str::to_owned) {
        let outcome = match asker.caller {
            Caller::Operator => transfer::answer(&service.state, &volume, &query, request).await,
            _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized")),
        };
        return outcome.unwrap_or_else(Refusal::into_answer);
    }
    let (route, parameters) = match find(request.method(), request.uri().path()) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_answer(),
    };
    if !(route.admits(&asker.caller) || asker.looks_on && route.access == Access::Look) {
        return not_admitted(route, &asker.caller).unwrap_or_else(Refusal::into_answer);
    }
    let limit = if route.slow { service.limits.slow_time } else { service.limits.answer_time };
    let outcome = tokio::time::timeout(limit, dispatch(service, asker, presence, query, request, (route, parameters))).await;
    let outcome = outcome.unwrap_or_else(|_| {
        let rest = match (route.slow, &route.method) {
            (true, _) => "what was asked for goes on",
            (false, &Method::GET) => "nothing is left running",
            // It may have been handed on before.
            (false, _) => "what was asked for may still be done",
        };
        Err(Refusal::unavailable(format!("the agent could not answer within {} s; {rest}", limit.as_secs_f32())))
    });
    outcome.unwrap_or_else(Refusal::into_answer)
}

/// A body that says when it has been handed over.
pub(super) struct Guarded {
    body: AnswerBody,
    _under_way: UnderWay,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn dispatch(
    service: &Service,
    asker: Asker,
    presence: &Presence,
    query: Fields,
    request: Request<Incoming>,
    (route, parameters): (&Route, Vec<String>),
) -> Outcome {
    let Asker { caller, key, .. } = asker;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wants_json = accepted.to_ascii_lowercase().contains("application/json");
    let last_event_id = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let encodings = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes_gzip = page::takes_gzip(encodings);
    let time = service.limits.body_time;
    let _turn = match route.body {
        BodyKind::Target => service.target_bodies.acquire().await.ok(),
        _ => None,
    };
    let most = match route.body {
        BodyKind::None => 0,
        BodyKind::Small => SMALL_BODY_BYTES,
        BodyKind::Target => TARGET_BODY_BYTES,
    };
    let body = if most == 0 {
        Bytes::new()
    } else {
        presence.receiving(true);
        let body = body::read(request.into_body(), most, time).await;
        presence.receiving(false);
        body?
    };
    let state = service.state.clone();
    (route.handler)(Call { state, caller, key, parameters, query, last_event_id, body, content_type, wants_json, takes_gzip })
        .await
}

/// 401, in the words of the protocol for whoever has no key, with the reason for a service whose key does not reach that far.
fn not_admitted(route: &Route, caller: &Caller) -> Outcome {
    match caller {
        Caller::Service { app, service, .. } => {
            let whole = match route.access {
                Access::Device => "the device as a whole takes the label io.balena.features.host-control",
                _ => "this takes the global key",
            };
            let message = format!("Unauthorized: the key of service {service} reaches its app {app} only; {whole}");
            Err(Refusal::new(StatusCode::UNAUTHORIZED, message))
        }
        _ if route.path.starts_with("/v3") || route.path == "/metrics" => {
            let message = "Unauthorized: no key that is known came with the request (Authorization: Bearer KEY, or ?apikey=KEY)";
            Err(Refusal::new(StatusCode::UNAUTHORIZED, message))
        }
        _ => Ok(text(StatusCode::UNAUTHORIZED, "Unauthorized")),
    }
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
