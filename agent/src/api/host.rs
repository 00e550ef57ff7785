//! The host through the API: restart, shutdown, name, proxy (protocol §17.3).

use holdfast_plan::host_config::HostConfigPatch;
use holdfast_plan::memory::PowerChange;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::{Outcome, Refusal, finished, json, text};
use super::body::{Fields, is_on};
use super::route::{Access, Call, Route};
use super::v1::submit;
use crate::reconcile::{HostOrder, OrderError, Request};

pub(super) static ROUTES: [Route; 4] = [
    Route::post("/v1/reboot", Access::Device, |call| Box::pin(power(call, PowerChange::Reboot))),
    Route::post("/v1/shutdown", Access::Device, |call| Box::pin(power(call, PowerChange::Shutdown))),
    Route::get("/v1/device/host-config", Access::Device, |call| Box::pin(show(call))),
    Route::patch("/v1/device/host-config", Access::Device, |call| Box::pin(change(call))),
];

/// Hands an order to the loop and waits until it was carried out or refused.
async fn order(call: &Call, fields: &Fields, order: HostOrder, force: bool) -> Result<(), OrderError> {
    let (reply, answer) = oneshot::channel();
    let request = Request::Host { from: call.asked_by(fields), force, order, reply };
    submit(&call.state.requests, request, true).map_err(|refusal| OrderError::Failed(refusal.message))?;
    answer.await.unwrap_or_else(|_| Err(OrderError::Failed("the agent is stopping and takes no more requests".into())))
}

async fn power(call: Call, power: PowerChange) -> Outcome {
    let fields = call.fields()?;
    let (status, error) = match order(&call, &fields, HostOrder::Power(power), fields.switch("force")).await {
        Ok(()) => (StatusCode::ACCEPTED, None),
        Err(OrderError::Locked(message)) => (StatusCode::LOCKED, Some(message)),
        Err(OrderError::Invalid(message) | OrderError::Failed(message)) => (StatusCode::INTERNAL_SERVER_ERROR, Some(message)),
    };
    let data = if error.is_none() { "OK" } else { "" };
    Ok(finished(status, "application/json; charset=utf-8", json!({ "Data": data, "Error": error }).to_string()))
}

async fn show(call: Call) -> Outcome {
    match call.state.host.host_config().await {
        Ok(config) => json(&config),
        Err(error) => Err(Refusal::unavailable(error.to_string())),
    }
}

async fn change(call: Call) -> Outcome {
    let fields = call.fields()?;
    let network = fields.get("network");
    // Its documentation puts the switch inside, its code outside: both are taken.
    let force = fields.switch("force") || network.and_then(|network| network.get("force")).is_some_and(is_on);
    let refused = |status, message: String| Ok(finished(status, "text/plain; charset=utf-8", message));
    let patch = match HostConfigPatch::read(network.filter(|network| **network != Value::Null)) {
        Ok(patch) => patch,
        Err(message) => return refused(StatusCode::BAD_REQUEST, message),
    };
    match order(&call, &fields, HostOrder::Configure(Box::new(patch)), force).await {
        Ok(()) => Ok(text(StatusCode::OK, "OK")),
        Err(OrderError::Invalid(message)) => refused(StatusCode::BAD_REQUEST, message),
        Err(OrderError::Locked(message)) => refused(StatusCode::LOCKED, message),
        Err(OrderError::Failed(message)) => refused(StatusCode::SERVICE_UNAVAILABLE, message),
    }
}
