//! The embedded cloud's list of devices, and how devices come onto it (protocol §8, §9).

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::routes::{REPORT_BYTES, header};
use super::{Endpoint, Shared};
use crate::sandbox::listener::{self, Body, text};

/// A device on the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedDevice {
    /// Its id.
    pub id: u64,
    /// Its uuid.
    pub uuid: String,
    /// Its key.
    pub key: String,
    /// Its name, once it was given one.
    pub name: Option<String>,
    /// The release it is pinned to.
    pub pinned: Option<u64>,
    /// Whether it belongs to somebody else: the provisioning key does not see it.
    pub foreign: bool,
    /// What it registered with; `null` for one that was there before.
    pub registration: Value,
}

/// All of them, and what a new one gets.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    /// The provisioning key; nobody can register while there is none.
    pub(super) provisioning_key: Option<String>,
    /// The target's entry for every listed device.
    pub(super) entry: Value,
    pub(super) listed: Vec<ListedDevice>,
    /// Releases that are done, by fleet and commit; each one's id is its place in the list.
    pub(super) releases: Vec<(u64, String)>,
}

impl Devices {
    /// The device with that key.
    pub(super) fn by_key(&self, key: &str) -> Option<&ListedDevice> {
        self.listed.iter().find(|device| device.key == key)
    }

    fn register(&mut self, body: &Value) -> (StatusCode, Value) {
        let field = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(uuid), Some(key), Some(_), Some(_)) =
            (field("uuid"), field("api_key"), field("device_type"), body["application"].as_u64())
        else {
            return (StatusCode::BAD_REQUEST, json!("uuid, api_key, device_type and application are needed"));
        };
        if self.listed.iter().any(|device| device.uuid == uuid || device.key == key) {
            return (StatusCode::CONFLICT, json!("\"uuid\" must be unique."));
        }
        let id = self.listed.iter().map(|device| device.id).max().unwrap_or(0) + 1;
        let answer = json!({ "id": id, "uuid": uuid, "api_key": key });
        self.listed.push(ListedDevice { id, uuid, key, name: None, pinned: None, foreign: false, registration: body.clone() });
        (StatusCode::CREATED, answer)
    }

    /// The rows a key may see; `None` for a key of nobody's.
    fn visible(&self, key: &str, uuid: &str) -> Option<Value> {
        let by_fleet = self.provisioning_key.as_deref() == Some(key);
        if !by_fleet && self.by_key(key).is_none() {
            return None;
        }
        let sees = |device: &&ListedDevice| device.uuid == uuid && if by_fleet { !device.foreign } else { device.key == key };
        Some(self.listed.iter().filter(sees).map(|device| json!({ "id": device.id })).collect())
    }
}

/// The rows of releases that pass the filter a device asks with.
fn releases(devices: &Devices, query: &str) -> Value {
    let asked = |app: u64, commit: &str| {
        let filter = format!("belongs_to__application eq {app} and commit eq '{commit}' and status eq 'success'");
        query.contains(&filter.replace(' ', "%20").replace('\'', "%27"))
    };
    let found = devices.releases.iter().enumerate().filter(|(_, (app, commit))| asked(*app, commit));
    found.map(|(id, _)| json!({ "id": id })).collect()
}

/// The endpoints of provisioning.
pub(super) fn endpoint_of(method: &Method, path: &[&str]) -> Option<Endpoint> {
    match (method, path) {
        (&Method::POST, ["device", "register"]) => Some(Endpoint::Register),
        (&Method::GET, ["v7", "device"]) => Some(Endpoint::Find),
        (&Method::POST, ["api-key", "device", _, "device-key"]) => Some(Endpoint::DeviceKey),
        (&Method::GET, ["v7", "release"]) => Some(Endpoint::Release),
        (&Method::PATCH, ["v7", device]) if device.starts_with("device(") => Some(Endpoint::Name),
        _ => None,
    }
}

/// Answers them.
pub(super) async fn answer(shared: &Shared, endpoint: Endpoint, request: Request<Incoming>) -> Response<Body> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let key = header(&request, AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let key = key.to_owned();
    let body = super::routes::read(request, REPORT_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = shared.state();
    let devices = &mut state.devices;
    let by_fleet = devices.provisioning_key.as_ref() == Some(&key);
    let unauthorised = || text(StatusCode::UNAUTHORIZED, "Unauthorized");
    match endpoint {
        Endpoint::Register if by_fleet => {
            let (status, answer) = devices.register(&body);
            listener::json(status, &answer)
        }
        Endpoint::Find => {
            let uuid = query.split("%27").nth(1).unwrap_or_default();
            devices.visible(&key, uuid).map_or_else(unauthorised, |rows| listener::json(StatusCode::OK, &json!({ "d": rows })))
        }
        Endpoint::Release if devices.by_key(&key).is_some() => {
            listener::json(StatusCode::OK, &json!({ "d": releases(devices, &query) }))
        }
        Endpoint::DeviceKey if by_fleet => {
            let id = path.split('/').nth(3).and_then(|id| id.parse::<u64>().ok());
            let device = devices.listed.iter_mut().find(|device| Some(device.id) == id && !device.foreign);
            match (device, body["apiKey"].as_str()) {
                (Some(device), Some(new)) => {
                    device.key = new.to_owned();
                    listener::json(StatusCode::OK, &json!(new))
                }
                _ => text(StatusCode::NOT_FOUND, "Not Found"),
            }
        }
        Endpoint::Name => match devices.listed.iter_mut().find(|device| device.key == key) {
            Some(device) => {
                if let Some(name) = body["device_name"].as_str() {
                    device.name = Some(name.to_owned());
                }
                device.pinned = body["is_pinned_on__release"].as_u64().or(device.pinned);
                text(StatusCode::OK, "OK")
            }
            None => unauthorised(),
        },
        _ => unauthorised(),
    }
}
