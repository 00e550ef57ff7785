//! The keys of the API through the API (protocol §17.3; `/v3/keys` is ours).

use holdfast_plan::target::AppId;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Value, json as value};
use tokio::sync::oneshot;

use super::access::{Standing, standing};
use super::answer::{Outcome, Refusal, finished, json};
use super::moment::Ago;
use super::reading::read_by_field;
use super::release_state::apps;
use super::route::{Access, Call, Route};
use super::v1::submit;
use crate::reconcile::{Request, View};
use crate::store::KeyOwner;

pub(super) static ROUTES: [Route; 3] = [
    Route::post("/v1/regenerate-api-key", Access::Key, |call| Box::pin(regenerate(call))),
    Route::get("/v3/keys", Access::Operator, |call| Box::pin(list(call))),
    Route::post("/v3/keys/rotate", Access::Operator, |call| Box::pin(rotate(call))),
];

/// What `/v3/keys` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeyList {
    /// Every key, the global one first.
    pub keys: Vec<KeyRow>,
}

read_by_field!(KeyList { keys });

/// One key.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeyRow {
    /// Numeric id of the app whose service has it; `None` for the global one.
    pub app_id: Option<u64>,
    /// The app's name.
    pub app: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// What it may do, in balena's words.
    pub scopes: Value,
    /// When it was made, where that is known and the clock is trusted.
    pub made: Option<Ago>,
    /// Whether it is taken now.
    pub taken: bool,
    /// Whether it reaches the device as a whole.
    pub controls_host: bool,
    /// Why it is not taken.
    pub why: Option<String>,
    /// The key itself, for who asks for it with `?show=1`.
    pub key: Option<String>,
}

read_by_field!(KeyRow { app_id, app, service, scopes, made, taken, controls_host, why, key });

async fn list(call: Call) -> Outcome {
    let (view, now, show) = (call.state.view(), call.state.now(), call.query.switch("show"));
    let apps = apps(&view);
    let rows = view.keys.iter().map(|(owner, key)| {
        let (taken, controls_host, why) = match standing(&view, owner, key) {
            Standing::Good { controls_host } => (true, controls_host, None),
            Standing::Refused(why) | Standing::Unknown(why) => (false, false, Some(why.to_owned())),
        };
        let app_id = owner.as_ref().map(|(app, _)| *app);
        KeyRow {
            app_id,
            app: app_id.and_then(|id| Some(apps.iter().find(|app| app.id == id)?.name.clone())),
            service: owner.as_ref().map(|(_, service)| service.clone()),
            scopes: serde_json::from_str(&key.scopes).unwrap_or_default(),
            made: key.made_ms.and_then(|ms| Ago::from_wall(ms, now)),
            taken,
            controls_host,
            why,
            key: show.then(|| key.reveal().to_owned()),
        }
    });
    json(&KeyList { keys: rows.collect() })
}

/// A new key for whoever asks, in the place of the one they ask with.
async fn regenerate(call: Call) -> Outcome {
    let Some(owner) = call.key.clone() else {
        return Err(Refusal::unavailable("no key that is known came with the request, so none can be made anew"));
    };
    let key = renew(&call, owner).await?;
    Ok(finished(StatusCode::OK, "text/plain; charset=utf-8", key))
}

/// A new key for the service that is named, or in the place of the global one.
async fn rotate(call: Call) -> Outcome {
    let fields = call.fields()?;
    let app = match fields.get("app") {
        None | Some(Value::Null) => None,
        Some(app) => {
            let number = app.as_u64().or_else(|| app.as_str()?.parse().ok());
            Some(number.ok_or_else(|| Refusal::bad(format!("app: {app} is not the number of an app")))?)
        }
    };
    let service = match fields.get("service") {
        None | Some(Value::Null) => None,
        // Another kind of value is not to be taken for none, and the global key not for what was meant.
        Some(service) => Some(service.as_str().ok_or_else(|| Refusal::bad("service is not a text"))?.to_owned()),
    };
    let owner = named(&call.state.view(), app, service)?;
    let key = renew(&call, owner.clone()).await?;
    let (app, service) = owner.unzip();
    json(&value!({ "app_id": app, "service": service, "key": key }))
}

/// The key that a person means.
fn named(view: &View, app: Option<AppId>, service: Option<String>) -> Result<KeyOwner, Refusal> {
    let Some(service) = service else {
        return match app {
            None => Ok(None),
            Some(_) => Err(Refusal::bad("the service is missing: an app has no key of its own, its services have")),
        };
    };
    let owners = view.keys.iter().filter_map(|(owner, _)| owner.as_ref());
    let meant: Vec<_> = owners.filter(|(of, name)| *name == service && app.is_none_or(|app| app == *of)).collect();
    match meant.as_slice() {
        [one] => Ok(Some((*one).clone())),
        [] => {
            let message = format!("service {service} has no key (holdfast key list shows those that there are)");
            Err(Refusal::new(StatusCode::NOT_FOUND, message))
        }
        several => {
            let apps: Vec<String> = several.iter().map(|(app, _)| app.to_string()).collect();
            Err(Refusal::bad(format!("several apps have a service {service}; say which with --app: {}", apps.join(", "))))
        }
    }
}

async fn renew(call: &Call, owner: KeyOwner) -> Result<String, Refusal> {
    let (reply, answer) = oneshot::channel();
    let from = call.caller.to_string();
    submit(&call.state.requests, Request::NewKey { from, owner, reply }, true)?;
    match answer.await {
        Ok(made) => made.map_err(Refusal::unavailable),
        Err(_) => Err(Refusal::unavailable("the agent is stopping and takes no more requests")),
    }
}
