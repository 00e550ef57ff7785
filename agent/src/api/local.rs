//! The device's own target, for local mode (protocol §17.4, behaviour §13): a developer's instead of the cloud's.

use std::sync::Arc;

use holdfast_plan::target::{App, AppClass, DeviceTarget, Service, parse};
use hyper::Method;
use serde_json::{Map, Value, json as value};
use tokio::sync::oneshot;

use super::answer::{Outcome, Refusal, json};
use super::body::is_on;
use super::route::{Access, BodyKind, Call, Route};
use crate::import;
use crate::policy::{LOCAL_MODE, truthy, variable};

pub(super) static ROUTES: [Route; 2] = [
    Route::get("/v2/local/target-state", Access::Key, |call| Box::pin(show(call))),
    Route {
        method: Method::POST,
        path: "/v2/local/target-state",
        access: Access::Operator,
        body: BodyKind::Target,
        handler: |call| Box::pin(set(call)),
        slow: false,
    },
];

/// A target that was set on the device.
#[derive(Debug)]
pub struct LocalTarget {
    /// As it is stored: in the cloud's form.
    pub body: String,
    /// The same, parsed.
    pub target: Arc<DeviceTarget>,
    /// Whether update locks are broken for it.
    pub force: bool,
    /// Told once it is stored and in force, or why it is not.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// The target in force with its services in full.
async fn show(call: Call) -> Outcome {
    let view = call.state.view();
    let target = view.target.clone().unwrap_or_default();
    let own = target.apps.values().filter(|app| !app.is_host && call.caller.may_touch(app.id));
    let apps: Map<String, Value> = own.map(|app| (app.id.to_string(), app_in_full(app))).collect();
    let local = value!({ "name": target.name, "config": target.config, "apps": apps });
    json(&value!({ "status": "success", "state": { "local": local } }))
}

fn app_in_full(app: &App) -> Value {
    let release = app.release.as_ref();
    // As the target words it: what it comes to is the container's to tell.
    let worded = release.map_or(&Value::Null, |release| &app.document["releases"][&release.commit]);
    let service = |service: &Service| {
        let own = &worded["services"][&service.name];
        let mut config = own["composition"].as_object().cloned().unwrap_or_default();
        config.insert("image".into(), value!(service.image.to_string()));
        config.insert("running".into(), value!(service.running));
        config.insert("environment".into(), value!(service.environment));
        config.insert("labels".into(), value!(service.labels));
        value!({
            "appId": app.id, "appUuid": app.uuid, "serviceId": service.id, "serviceName": service.name,
            "imageId": service.image_id, "imageName": service.image.to_string(), "releaseId": release.map(|release| release.id),
            "commit": release.map(|release| &release.commit), "config": config,
        })
    };
    let services: Vec<Value> = release.iter().flat_map(|release| release.services.values().map(service)).collect();
    value!({
        "appId": app.id, "appUuid": app.uuid, "appName": app.name, "name": app.name, "isHost": app.is_host,
        "commit": release.map(|release| &release.commit), "releaseId": release.map(|release| release.id),
        "services": services, "volumes": worded["volumes"], "networks": worded["networks"],
    })
}

/// Stores a target and brings it into force.
async fn set(call: Call) -> Outcome {
    let view = call.state.view();
    let managed = !call.state.cloud.borrow().endpoint.is_empty();
    let in_local_mode = view.target.as_ref().is_some_and(|target| variable(&target.config, LOCAL_MODE).is_some_and(truthy));
    if managed && !in_local_mode {
        return Err(Refusal::bad(format!(
            "the device must be in local mode for this: set the device variable BALENA_{LOCAL_MODE} to 1 in the cloud first"
        )));
    }
    let (uuid, body) = (call.state.identity.uuid.clone(), call.body);
    let read = tokio::task::spawn_blocking(move || read(&body, &uuid)).await;
    let (body, target, force) = read.map_err(|cause| Refusal::unavailable(cause.to_string()))?.map_err(Refusal::bad)?;
    let (reply, answer) = oneshot::channel();
    let closed = || Refusal::unavailable("the agent is stopping and takes no more requests");
    call.state.local.send(LocalTarget { body, target: Arc::new(target), force, reply }).await.map_err(|_| closed())?;
    answer.await.map_err(|_| closed())?.map_err(Refusal::unavailable)?;
    json(&value!({ "status": "success", "message": "OK" }))
}

/// Reads a body: the target in the cloud's form, and whether locks are broken for it.
fn read(body: &[u8], uuid: &str) -> Result<(String, DeviceTarget, bool), String> {
    let given: Value = serde_json::from_slice(body).map_err(|cause| format!("the target is not JSON: {cause}"))?;
    let force = given.get("force").is_some_and(is_on);
    let document = import::local_target(&given, uuid)?;
    let target = parse(&document, uuid).map_err(|cause| cause.to_string())?;
    if let Some((app, refused)) = target.refused.iter().next() {
        let why: Vec<String> = refused.offences.iter().take(3).map(ToString::to_string).collect();
        return Err(format!("app {app}: {}", why.join("; ")));
    }
    if let Some(app) = target.apps.values().find(|app| app.is_host || app.class != AppClass::Fleet) {
        return Err(format!("app {}: only apps of class fleet can be set on the device", app.uuid));
    }
    Ok((document.to_string(), target, force))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balenas_form_becomes_the_clouds() {
        let service = value!({ "imageId": 1, "serviceName": "main", "image": "local_image_main:latest", "running": true,
            "environment": { "A": "1" }, "labels": {}, "privileged": true });
        let app = value!({ "name": "localapp", "commit": "localrelease", "releaseId": "1", "services": { "1": service },
            "volumes": { "data": {} }, "networks": {} });
        let given = value!({ "local": { "name": "d", "config": { "X": "1" }, "apps": { "1": app } }, "force": "on" });
        let (body, target, force) = read(given.to_string().as_bytes(), "u").unwrap();
        let release = target.apps["1"].release.as_ref().unwrap();
        assert!(force && release.services["main"].options.privileged && release.volumes.contains_key("data"));
        assert_eq!((target.apps["1"].id, release.commit.as_str()), (1, "localrelease"));
        assert_eq!(release.services["main"].image.to_string(), "local_image_main:latest");
        let again = parse(&serde_json::from_str(&body).unwrap(), "u").unwrap();
        assert_eq!(again, target);
    }

    #[test]
    fn what_is_none_is_refused() {
        let listed =
            value!({ "local": { "name": "d", "config": {}, "apps": { "1": { "name": "a", "commit": "c", "services": [] } } } });
        for wrong in ["[]", "{", "{}", "{\"local\":{}}", &listed.to_string()] {
            assert!(read(wrong.as_bytes(), "u").is_err(), "{wrong}");
        }
    }
}
