//! What an app is made of, for the application itself (protocol §17.3, §17.4).

use std::collections::BTreeMap;

use holdfast_plan::container::volume_name;
use holdfast_plan::current::{EngineState, Volume};
use holdfast_plan::target::{App, DeviceTarget, app_from_document, parse};
use hyper::StatusCode;
use serde_json::{Map, Value, json as value};

use super::actions::{app_id, only_container};
use super::answer::{Outcome, Refusal, json, text};
use super::release_state::{AppState, apps, apps_of};
use super::route::{Access, Call, Route};
use crate::reconcile::View;
use crate::store::LOCAL_SOURCE;

pub(super) static ROUTES: [Route; 4] = [
    Route::get("/v1/apps/:appId", Access::Key, |call| Box::pin(single(call))),
    Route::get("/v2/applications/:appId/state", Access::Key, |call| Box::pin(state(call))),
    Route::get("/v2/containerId", Access::Key, |call| Box::pin(container_id(call))),
    Route::get("/v2/cleanup-volumes", Access::Key, |call| Box::pin(cleanup_volumes(call))),
];

/// Variables with keys in them, which are nobody else's to read.
const KEYS: [&str; 4] = ["BALENA_SUPERVISOR_API_KEY", "RESIN_SUPERVISOR_API_KEY", "BALENA_API_KEY", "RESIN_API_KEY"];

/// The container of an app that has one.
async fn single(call: Call) -> Outcome {
    let Some(app) = app_id(&call) else { return Ok(text(StatusCode::BAD_REQUEST, "Missing app id")) };
    if !call.caller.may_touch(app) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Application is not available"));
    }
    let view = call.state.view();
    let service = match only_container(&view, app) {
        Ok(service) => service,
        Err(answer) => return Ok(*answer),
    };
    let of_it = view.current.engine.containers.iter().filter(|c| c.app_id == app && c.service == service);
    let Some(container) = of_it.max_by_key(|c| (!c.handing_over, c.created_ms)) else {
        return Err(Refusal::unavailable("its container is gone just now; try again"));
    };
    let env: BTreeMap<&String, &String> =
        container.spec.environment.iter().filter(|(name, _)| !KEYS.contains(&name.as_str())).collect();
    let commit = apps(&view).into_iter().find(|state| state.id == app).and_then(|state| state.settled.map(str::to_owned));
    json(&value!({
        "appId": app, "commit": commit.unwrap_or_else(|| container.commit.clone()), "containerId": container.id, "env": env,
        "imageId": container.image_id, "releaseId": container.release_id,
    }))
}

/// How far the services of an app are, by their images' ids.
async fn state(call: Call) -> Outcome {
    let asked = call.parameters.first().cloned().unwrap_or_default();
    let Some(id) = app_id(&call) else { return Err(Refusal::bad(format!("Invalid application ID: {asked}"))) };
    let view = call.state.view();
    let Some(app) = apps_of(&view, &call.caller).into_iter().find(|app| app.id == id) else {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("Application ID does not exist: {asked}")));
    };
    let mut services = Map::new();
    for service in &app.services {
        let wanted = service.wanted.map(|wanted| wanted.image_id);
        let Some(image) = wanted.or_else(|| service.container.and_then(|c| c.cloud_image_id)) else { continue };
        let release = app.wanted.map(|(_, id)| id).filter(|_| wanted.is_some());
        let release = release.or_else(|| service.container.and_then(|c| c.release_id));
        let row = value!({ "status": service.status.word(), "releaseId": release, "download_progress": service.progress() });
        services.insert(image.to_string(), row);
    }
    json(&value!({ "commit": commit(&app), "local": { id.to_string(): { "services": services } } }))
}

fn commit<'a>(app: &AppState<'a>) -> Option<&'a str> {
    app.settled.or_else(|| app.wanted.map(|(commit, _)| commit))
}

/// Containers by service, or that of one service.
async fn container_id(call: Call) -> Outcome {
    let view = call.state.view();
    let mut services: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for container in view.current.engine.containers.iter().filter(|container| call.caller.may_touch(container.app_id)) {
        let newest = services.entry(&container.service).or_insert((i64::MIN, ""));
        *newest = (*newest).max((container.created_ms, &container.id));
    }
    let Some(name) = call.query.text("serviceName").or_else(|| call.query.text("service")) else {
        let ids: BTreeMap<&str, &str> = services.into_iter().map(|(name, (_, id))| (name, id)).collect();
        return json(&value!({ "status": "success", "services": ids }));
    };
    match services.get(name.as_str()) {
        Some((_, id)) => json(&value!({ "status": "success", "containerId": id })),
        None => Err(Refusal::unavailable("Could not find service with that name")),
    }
}

/// Removes the agent's volumes that no container uses and no target references. What another agent or a person made is left,
/// and so is what a target needs that is not in force just now.
async fn cleanup_volumes(call: Call) -> Outcome {
    let (view, state) = (call.state.view(), &call.state);
    let watching = |why: &str| Refusal::unavailable(format!("nothing is removed: {why}"));
    if let Some(why) = &view.policy.watch_only {
        return Err(watching(why));
    }
    let Some(target) = view.target.as_deref().filter(|_| view.engine.is_some()) else {
        return Err(Refusal::unavailable("without a target in force nobody knows which volumes are needed; nothing is removed"));
    };
    let mut others = Vec::new();
    // In local mode the apps of the cloud's target are known only by what is stored.
    let stored_elsewhere = [state.identity.target_source.as_str(), LOCAL_SOURCE];
    for source in stored_elsewhere.into_iter().filter(|source| view.source.as_deref() != Some(*source)) {
        let stored =
            state.store.load(source, &state.identity.uuid).await.map_err(|error| Refusal::unavailable(error.to_string()))?;
        let Some(stored) = stored.target else { continue };
        let read = serde_json::from_str(&stored.body).ok().and_then(|body: Value| parse(&body, &state.identity.uuid).ok());
        // What cannot be read may need any of them.
        others.push(read.ok_or_else(|| Refusal::unavailable("a stored target cannot be read; nothing is removed"))?);
    }
    // What somebody else made or removed counts as it is now.
    state.engine.forget_cache();
    let engine = state.engine.observe().await.map_err(|error| Refusal::unavailable(error.to_string()))?;
    if let Some(other) = &engine.other_supervisor {
        return Err(watching(&format!("{other} runs on this engine")));
    }
    let targets: Vec<&DeviceTarget> = others.iter().chain([target]).collect();
    for volume in engine.volumes.iter().filter(|volume| is_left_over(&view, &engine, &targets, volume)) {
        let Some(app) = volume.app().filter(|app| call.caller.may_touch(*app)) else { continue };
        log::info!("volume {} of app {app}, which nothing uses, is removed on request", volume.name);
        // One that came to be used meanwhile stays: the engine refuses.
        if let Err(error) = state.engine.remove_volume(&volume.name).await {
            log::warn!("volume {} is not removed: {error}", volume.name);
        }
    }
    json(&value!({ "status": "success" }))
}

fn is_left_over(view: &View, engine: &EngineState, targets: &[&DeviceTarget], volume: &Volume) -> bool {
    let used = engine.containers.iter().any(|container| container.mounts_volume(&volume.name));
    let owner = volume.app();
    let refused =
        targets.iter().flat_map(|target| target.refused.values()).any(|refused| refused.id.is_none() || refused.id == owner);
    let ordered = owner.is_some_and(|app| view.memory.orders.contains_key(&app));
    let settled = view.memory.settled.iter().filter_map(|(uuid, settled)| app_from_document(uuid, &settled.document));
    let settled: Vec<App> = settled.collect();
    let mut apps = targets.iter().flat_map(|target| target.apps.values()).chain(&settled);
    volume.is_supervised() && !used && !refused && !ordered && !apps.any(|app| references(app, &volume.name))
}

fn references(app: &App, volume: &str) -> bool {
    app.release.as_ref().is_some_and(|release| release.volumes.keys().any(|short| volume_name(app.id, short) == volume))
}
