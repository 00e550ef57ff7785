//! Version 1 of the paths, and `/ping` (protocol §17.2, §17.3).

use hyper::StatusCode;
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;

use super::answer::{Outcome, Refusal, empty, json, json_as, text};
use super::body::is_on;
use super::caller::Caller;
use super::health::health;
use super::release_state::{AppState, apps_of};
use super::route::{Access, Call, Route};
use super::status::hide_path;
use super::{Database, Health};
use crate::cloud::report::{ServiceStatus, UpdateStatus};
use crate::cloud::{PollNow, SUPERVISOR_COMPATIBLE_VERSION};
use crate::reconcile::{Phase, Request, View};

pub(super) static ROUTES: [Route; 4] = [
    Route::get("/ping", Access::Open, |_| Box::pin(async { Ok(text(StatusCode::OK, "OK")) })),
    Route::get("/v1/healthy", Access::Open, |call| Box::pin(healthy(call))),
    Route::post("/v1/update", Access::Key, |call| Box::pin(update(call))),
    Route::get("/v1/device", Access::Key, |call| Box::pin(device(call))),
];

/// The verdict in balena's words; for a client that accepts JSON with its reasons and, unless it is anybody, the state of the
/// database.
async fn healthy(call: Call) -> Outcome {
    let (mut health, database) = health(&call.state).await;
    let status = if health.healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    if call.wants_json {
        let known = call.caller != Caller::Nobody;
        if !known {
            hide_path(&database.path, &mut health.reasons.iter_mut());
        }
        return json_as(status, &HealthAnswer { health, database: known.then_some(database) });
    }
    Ok(text(status, if status == StatusCode::OK { "OK" } else { "Unhealthy" }))
}

#[derive(Serialize)]
struct HealthAnswer {
    health: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Database>,
}

/// Looks at the cloud now: 204, or 202 when the device is told not to obey such calls (protocol §5).
async fn update(call: Call) -> Outcome {
    let fields = call.fields()?;
    let (force, cancel) = (fields.switch("force"), fields.switch("cancel"));
    // Broken locks and downloads that are given up concern every app.
    if (force || cancel) && !call.caller.may_control() {
        let message = "Unauthorized: force and cancel concern every app; they take the label io.balena.features.host-control";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
    }
    // A person at the device is not a notification from the cloud: the device variable does not hold them off.
    let operator = fields.switch("operator") && call.caller == Caller::Operator;
    let state = &call.state;
    if !(force || operator || instant_updates(&state.view())) {
        return Ok(empty(StatusCode::ACCEPTED));
    }
    let from = call.asked_by(&fields);
    let managed = !state.cloud.borrow().endpoint.is_empty();
    // Force and cancel also concern what runs or waits already, and must work without a cloud: the loop is told directly.
    if force || cancel || !managed {
        submit(&state.requests, Request::Look { from: from.clone(), force, cancel }, force || cancel)?;
    }
    if managed {
        submit(&state.poll, PollNow { from, force, cancel: false }, force)?;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Hands a request on without waiting. A full queue holds the same request already, unless this one says more.
pub(super) fn submit<T>(queue: &tokio::sync::mpsc::Sender<T>, request: T, says_more: bool) -> Result<(), Refusal> {
    match queue.try_send(request) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(_)) if !says_more => Ok(()),
        Err(TrySendError::Full(_)) => Err(Refusal::unavailable("too many requests wait already; try again in a moment")),
        Err(TrySendError::Closed(_)) => Err(Refusal::unavailable("the agent is stopping and takes no more requests")),
    }
}

/// The device variable `SUPERVISOR_INSTANT_UPDATE_TRIGGER` (behaviour §10): whether notifications are obeyed; they are unless
/// it is there and off.
fn instant_updates(view: &View) -> bool {
    const NAME: &str = "SUPERVISOR_INSTANT_UPDATE_TRIGGER";
    let Some(target) = view.target.as_deref() else { return true };
    let value = ["BALENA_", "RESIN_", ""].iter().find_map(|prefix| target.config.get(&format!("{prefix}{NAME}")));
    value.is_none_or(|value| is_on(&serde_json::Value::String(value.clone())))
}

#[derive(Serialize)]
struct DeviceState<'a> {
    api_port: u16,
    ip_address: &'a str,
    os_version: Option<&'a str>,
    mac_address: &'a str,
    supervisor_version: &'static str,
    update_pending: bool,
    update_failed: bool,
    update_downloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download_progress: Option<u8>,
}

async fn device(call: Call) -> Outcome {
    let state = &call.state;
    let view = state.view();
    let host = &view.device;
    let apps = apps_of(&view, &call.caller);
    let pending = is_applying(&view);
    let first = apps.first();
    let first_service = first.and_then(|app| app.services.first());
    json(&DeviceState {
        api_port: state.identity.api_port,
        ip_address: &host.ip_address,
        os_version: host.os_version.as_deref(),
        mac_address: &host.mac_address,
        supervisor_version: SUPERVISOR_COMPATIBLE_VERSION,
        update_pending: pending,
        update_failed: !view.memory.failures.is_empty(),
        update_downloaded: pending && apps.iter().any(|app| app.update_status() == UpdateStatus::Downloaded),
        commit: first.filter(|_| !pending).and_then(|app: &AppState<'_>| app.settled),
        status: first_service
            .map(|service| if service.status == ServiceStatus::Running { "Idle" } else { service.status.word() }),
        download_progress: first_service.and_then(|service| service.progress()),
    })
}

/// Whether an update is under way, held up or not.
pub(super) fn is_applying(view: &View) -> bool {
    match view.phase {
        Phase::Starting | Phase::Applying | Phase::Waiting | Phase::EngineAway { .. } => true,
        Phase::NoTarget | Phase::WatchOnly { .. } | Phase::Settled => false,
    }
}
