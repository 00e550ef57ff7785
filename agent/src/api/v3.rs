//! Version 3 of the paths: our own (`interface.md`, "Local API").

use std::time::Duration;

use bytes::Bytes;
use holdfast_plan::target::parse;
use hyper::{Method, StatusCode};
use serde::de::IgnoredAny;
use serde_json::{Value, json as value};

use super::answer::{Outcome, Refusal, json, json_text};
use super::caller::Caller;
use super::database::{DatabaseAnswer, History};
use super::health::health;
use super::locks::lock_list;
use super::planned::{PlanAnswer, plan_answer};
use super::route::{Access, BodyKind, Call, Route};
use super::status::status;
use super::volumes::volume_list;
use crate::store::StoreError;

pub(super) static ROUTES: [Route; 8] = [
    Route::get("/v3/status", Access::Look, |call| Box::pin(device_status(call))),
    Route::get("/v3/plan", Access::Operator, |call| Box::pin(stored_plan(call))),
    Route {
        method: Method::POST,
        path: "/v3/plan",
        access: Access::Operator,
        body: BodyKind::Target,
        handler: |call| Box::pin(plan_for(call)),
        slow: false,
    },
    Route::get("/v3/target", Access::Operator, |call| Box::pin(target(call))),
    Route::get("/v3/target/history", Access::Operator, |call| Box::pin(history(call))),
    Route::get("/v3/db", Access::Operator, |call| Box::pin(database_figures(call))),
    Route::get("/v3/locks", Access::Look, |call| Box::pin(locks(call))),
    Route::get("/v3/volumes", Access::Operator, |call| Box::pin(volumes(call))),
];

async fn device_status(call: Call) -> Outcome {
    let status = status(&call.state).await;
    if call.caller == Caller::Nobody { json(&status.for_onlookers()) } else { json(&status) }
}

async fn locks(call: Call) -> Outcome {
    json(&lock_list(&call.state.view(), call.state.now()))
}

async fn volumes(call: Call) -> Outcome {
    json(&volume_list(&call.state).await)
}

/// The plan for the target in force; an empty one when there is none.
async fn stored_plan(call: Call) -> Outcome {
    let (view, now) = (call.state.view(), call.state.now());
    let Some(target) = view.target.clone() else {
        return json(&PlanAnswer { target: "stored".into(), settled: true, reaches_target: true, ..PlanAnswer::default() });
    };
    json(&aside(move || plan_answer(&view, &target, now, "stored")).await?)
}

/// The plan for a target document that comes with the request. Nothing is stored, nothing is changed.
async fn plan_for(call: Call) -> Outcome {
    let (view, now) = (call.state.view(), call.state.now());
    let (uuid, body) = (call.state.identity.uuid.clone(), call.body);
    let answer = aside(move || {
        let document: Value = read_document(&body)?;
        drop(body);
        let target = parse(&document, &uuid).map_err(|cause| Refusal::bad(cause.to_string()))?;
        drop(document);
        Ok(plan_answer(&view, &target, now, "document"))
    });
    json(&answer.await??)
}

fn read_document(body: &Bytes) -> Result<Value, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::bad("the body is empty; a target state document (JSON) is expected"));
    }
    serde_json::from_slice(body).map_err(|cause| Refusal::bad(format!("the target document is not JSON: {cause}")))
}

/// Computes on a thread of its own: a large document must not hold up the loop, which shares the runtime's only thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the plan could not be computed: {cause}")))
}

/// How long the store may take to read what is asked for.
const STORE_READ: Duration = Duration::from_secs(20);

/// The stored target as it came, with where it came from and its ETag.
async fn target(call: Call) -> Outcome {
    let identity = &call.state.identity;
    // In local mode that is the device's own.
    let in_force = call.state.view().source.clone();
    let source = in_force.as_deref().unwrap_or(&identity.target_source);
    let load = call.state.store.load(source, &identity.uuid);
    let loaded = read(load).await?;
    let Some(stored) = loaded.target else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no target was ever stored for this device and cloud"));
    };
    // The body goes out as it is: written anew it would cost its size several times over, and would not be what came.
    let envelope = value!({ "source": stored.source, "uuid": stored.uuid, "etag": stored.etag }).to_string();
    let mut answer = envelope.into_bytes();
    answer.pop();
    answer.extend_from_slice(b",\"target\":");
    match serde_json::from_str::<IgnoredAny>(&stored.body) {
        Ok(_) => answer.extend_from_slice(stored.body.as_bytes()),
        Err(_) => answer.extend_from_slice(Value::String(stored.body).to_string().as_bytes()),
    }
    answer.push(b'}');
    Ok(json_text(answer))
}

/// What the store reads, within its time.
async fn read<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Refusal> {
    match tokio::time::timeout(STORE_READ, work).await {
        Ok(read) => read.map_err(|cause| Refusal::unavailable(cause.to_string())),
        Err(_) => Err(Refusal::unavailable(format!("the database did not answer within {} s", STORE_READ.as_secs()))),
    }
}

/// Past targets and what was reached, newest first.
async fn history(call: Call) -> Outcome {
    json(&History::new(read(call.state.store.history()).await?, call.state.now()))
}

/// The database in figures: what is in it and what was written.
async fn database_figures(call: Call) -> Outcome {
    let figures = read(call.state.store.figures()).await?;
    let (_, database) = health(&call.state).await;
    json(&DatabaseAnswer::new(database, figures))
}
