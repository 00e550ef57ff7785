//! What can be done to one app: restart, purge, stop, start (protocol §17.3 to §17.5). Each is handed to the loop and answered
//! once it is done; it goes on to its end when the client has gone away.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_plan::order::Task;
use holdfast_plan::target::{App, AppId};
use hyper::StatusCode;
use serde_json::json as value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::answer::{Answer, Outcome, Refusal, json, text, words};
use super::body::Fields;
use super::route::{Access, Call, Route};
use super::v1::submit;
use crate::reconcile::{AppOrderError, Request, View};

/// How long an order waits for another one on the same app (behaviour §6).
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// How often it asks again meanwhile.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

pub(super) static ROUTES: [Route; 9] = [
    Route::slow("/v1/restart", Access::Key, |call| Box::pin(v1_whole(call, Task::Restart(None)))),
    Route::slow("/v1/purge", Access::Key, |call| Box::pin(v1_whole(call, Task::Purge))),
    Route::slow("/v1/apps/:appId/stop", Access::Key, |call| Box::pin(v1_service(call, Task::Stop))),
    Route::slow("/v1/apps/:appId/start", Access::Key, |call| Box::pin(v1_service(call, Task::Start))),
    Route::slow("/v2/applications/:appId/restart", Access::Key, |call| Box::pin(v2_whole(call, Task::Restart(None)))),
    Route::slow("/v2/applications/:appId/purge", Access::Key, |call| Box::pin(v2_whole(call, Task::Purge))),
    Route::slow("/v2/applications/:appId/restart-service", Access::Key, |call| {
        Box::pin(v2_service(call, |service| Task::Restart(Some(service))))
    }),
    Route::slow("/v2/applications/:appId/stop-service", Access::Key, |call| Box::pin(v2_service(call, Task::Stop))),
    Route::slow("/v2/applications/:appId/start-service", Access::Key, |call| Box::pin(v2_service(call, Task::Start))),
];

/// Somebody asks for an app that is not theirs.
pub(super) fn unauthorized() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized")
}

/// The app's id in a path.
pub(super) fn app_id(call: &Call) -> Option<AppId> {
    call.parameters.first()?.parse().ok()
}

/// Has the loop do it and waits for that.
async fn carry_out(call: &Call, app: AppId, task: Task, fields: &Fields) -> Result<(), Refusal> {
    let from = call.asked_by(fields);
    let until = Instant::now() + BUSY_LIMIT;
    loop {
        let (reply, answer) = oneshot::channel();
        let (from, force, task) = (from.clone(), fields.switch("force"), task.clone());
        submit(&call.state.requests, Request::App { from, force, app, task, reply }, true)?;
        let stopping = |_| Err(AppOrderError::Failed("the agent is stopping; what was begun goes on at its next start".into()));
        match answer.await.unwrap_or_else(stopping) {
            Ok(()) => return Ok(()),
            Err(AppOrderError::Busy(_)) if Instant::now() < until => sleep(BUSY_PAUSE).await,
            Err(AppOrderError::Locked(message)) => return Err(Refusal::new(StatusCode::LOCKED, message)),
            Err(AppOrderError::Busy(message) | AppOrderError::Failed(message)) => return Err(Refusal::unavailable(message)),
        }
    }
}

/// `/v1/restart` and `/v1/purge`.
async fn v1_whole(call: Call, task: Task) -> Outcome {
    let fields = call.fields()?;
    let purge = task == Task::Purge;
    let Some(app) = fields.number("appId") else {
        return Ok(text(StatusCode::BAD_REQUEST, if purge { "Invalid or missing appId" } else { "Missing app id" }));
    };
    if !call.caller.may_touch(app) {
        return Err(unauthorized());
    }
    carry_out(&call, app, task, &fields).await?;
    if purge { json(&value!({ "Data": "OK", "Error": "" })) } else { Ok(text(StatusCode::OK, "OK")) }
}

/// `/v2/applications/:appId/restart` and `…/purge`.
async fn v2_whole(call: Call, task: Task) -> Outcome {
    let fields = call.fields()?;
    let app = app_id(&call).ok_or_else(|| Refusal::bad("Invalid app id"))?;
    if !call.caller.may_touch(app) {
        return Err(unauthorized());
    }
    carry_out(&call, app, task, &fields).await?;
    Ok(text(StatusCode::OK, "OK"))
}

/// `/v1/apps/:appId/stop` and `…/start`: for apps of one container.
async fn v1_service(call: Call, task: fn(String) -> Task) -> Outcome {
    let fields = call.fields()?;
    let Some(app) = app_id(&call) else { return Ok(text(StatusCode::BAD_REQUEST, "Invalid app id")) };
    if !call.caller.may_touch(app) {
        return Ok(text(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let view = call.state.view();
    let service = match only_container(&view, app) {
        Ok(service) => service.to_owned(),
        Err(answer) => return Ok(*answer),
    };
    if !in_target(&view, app, &service) {
        return Ok(not_in_target(&service));
    }
    carry_out(&call, app, task(service.clone()), &fields).await?;
    let view = call.state.view();
    let container = view.current.engine.containers.iter().filter(|c| c.app_id == app && c.service == service);
    json(&value!({ "containerId": container.max_by_key(|c| c.created_ms).map(|c| c.id.as_str()) }))
}

/// The one service of an app that has containers.
pub(super) fn only_container(view: &View, app: AppId) -> Result<&str, Box<Answer>> {
    let services = services(view, app);
    let refused = |message: &'static str| Err(Box::new(text(StatusCode::BAD_REQUEST, message)));
    match services.iter().collect::<Vec<_>>().as_slice() {
        [only] => Ok(only),
        [] => refused(NO_APP),
        _ => refused("this endpoint is for apps of a single container; the ones below /v2/applications take a serviceName"),
    }
}

const NO_APP: &str = "App not found: it has no container on this device. If it was installed just now, wait until it runs";

/// Services of an app that have containers.
fn services(view: &View, app: AppId) -> BTreeSet<&str> {
    let containers = view.current.engine.containers.iter().filter(|container| container.app_id == app);
    containers.map(|container| container.service.as_str()).collect()
}

fn target_app(view: &View, app: AppId) -> Option<&App> {
    view.target.as_deref()?.app(app)
}

fn in_target(view: &View, app: AppId, service: &str) -> bool {
    target_app(view, app).and_then(|app| app.release.as_ref()).is_some_and(|release| release.services.contains_key(service))
}

fn not_in_target(service: &str) -> Answer {
    words(StatusCode::NOT_FOUND, format!("Service {service} is not in the target release"))
}

/// `/v2/applications/:appId/restart-service`, `…/stop-service` and `…/start-service`.
async fn v2_service(call: Call, task: fn(String) -> Task) -> Outcome {
    let fields = call.fields()?;
    let app = app_id(&call).ok_or_else(|| Refusal::bad("Invalid app id"))?;
    if !call.caller.may_touch(app) {
        return Err(unauthorized());
    }
    let service = match named_service(&call.state.view(), app, &fields) {
        Ok(service) => service,
        Err(answer) => return Ok(*answer),
    };
    carry_out(&call, app, task(service), &fields).await?;
    Ok(text(StatusCode::OK, "OK"))
}

/// The service a request means: the only one, else the one it names.
fn named_service(view: &View, app: AppId, fields: &Fields) -> Result<String, Box<Answer>> {
    let present = services(view, app);
    let release = target_app(view, app).and_then(|app| app.release.as_ref());
    let wanted = release.iter().flat_map(|release| release.services.keys().map(String::as_str));
    let all: BTreeSet<&str> = present.iter().copied().chain(wanted).collect();
    let by_image = |id: u64| {
        let containers = view.current.engine.containers.iter().filter(|c| c.app_id == app && c.cloud_image_id == Some(id));
        let wanted = release.iter().flat_map(|release| release.services.values()).filter(|service| service.image_id == id);
        let found = containers.map(|c| c.service.clone()).chain(wanted.map(|service| service.name.clone())).next();
        found.ok_or_else(|| format!("of image {id}"))
    };
    let named = match (all.len(), fields.text("serviceName"), fields.number("imageId")) {
        (0, ..) => return Err(Box::new(text(StatusCode::NOT_FOUND, NO_APP))),
        (1, ..) => Ok(all.first().copied().unwrap_or_default().to_owned()),
        (_, Some(name), _) => {
            if all.contains(name.as_str()) {
                Ok(name)
            } else {
                Err(name)
            }
        }
        (_, None, Some(id)) => by_image(id),
        (_, None, None) => {
            return Err(Box::new(text(StatusCode::BAD_REQUEST, "one of serviceName and imageId is needed")));
        }
    };
    let found = named.map_err(|name| format!("Service not found: {name}; the app has {}", join(&all)));
    match found {
        Err(message) => Err(Box::new(words(StatusCode::NOT_FOUND, message))),
        Ok(service) if release.is_some_and(|release| release.services.contains_key(&service)) => Ok(service),
        Ok(service) => Err(Box::new(not_in_target(&service))),
    }
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
