//! The device itself, as applications see it: its light, name, tags, VPN (protocol §17.3, §17.4).

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Value, json as value};
use tokio::sync::oneshot;

use super::answer::{Outcome, Refusal, json, json_as, text};
use super::body::Fields;
use super::route::{Access, Call, Route};
use crate::cloud::TagChange;

pub(super) static ROUTES: [Route; 6] = [
    Route::post("/v1/blink", Access::Device, |call| Box::pin(blink(call))),
    Route::get("/v2/local/device-info", Access::Key, |call| Box::pin(info(call))),
    Route::get("/v2/device/name", Access::Key, |call| Box::pin(name(call))),
    Route::get("/v2/device/tags", Access::Key, |call| Box::pin(tags(call))),
    Route::patch("/v2/device/tags", Access::Device, |call| Box::pin(set_tags(call))),
    Route::get("/v2/device/vpn", Access::Key, |call| Box::pin(vpn(call))),
];

/// Lets the device's light blink, so that somebody finds it.
async fn blink(call: Call) -> Outcome {
    match call.state.host.blink().await {
        Ok(()) => Ok(text(StatusCode::OK, "OK")),
        Err(error) => Err(Refusal::unavailable(error.to_string())),
    }
}

async fn info(call: Call) -> Outcome {
    let device = &call.state.view().device;
    let (arch, slug) = (&device.device_arch, device.device_type.as_ref().or(call.state.identity.device_type.as_ref()));
    json(&value!({ "status": "success", "info": { "arch": arch, "deviceType": slug } }))
}

async fn name(call: Call) -> Outcome {
    let name = call.state.view().target.as_ref().map(|target| target.name.clone());
    json(&value!({ "status": "success", "deviceName": name }))
}

/// The tags as the cloud has them now.
async fn tags(call: Call) -> Outcome {
    let failed = |message: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message);
    let Some(cloud) = &call.state.calls else { return Err(failed("this device has no cloud to keep tags".into())) };
    let tags = cloud.device_tags().await.map_err(|error| failed(error.to_string()))?;
    let row = |tag: crate::cloud::DeviceTag| value!({ "id": tag.id, "name": tag.name, "value": tag.value });
    json(&value!({ "status": "success", "tags": tags.into_iter().map(row).collect::<Vec<_>>() }))
}

/// Hands tags over to be reported; they are, some time.
async fn set_tags(call: Call) -> Outcome {
    let tags = tags_of(&call.fields()?).map_err(Refusal::bad)?;
    let (reply, answer) = oneshot::channel();
    let closed = || Refusal::unavailable("this device has no cloud to keep tags, or the agent is stopping");
    call.state.tags.send(TagChange { tags, reply }).await.map_err(|_| closed())?;
    match answer.await.map_err(|_| closed())? {
        Ok(()) => json_as(StatusCode::ACCEPTED, &value!({ "status": "success" })),
        Err(message) => Err(Refusal::unavailable(message)),
    }
}

/// Checks keys and values (protocol §7).
fn tags_of(fields: &Fields) -> Result<BTreeMap<String, String>, String> {
    let reserved = |key: &str| key.starts_with("io.balena.") || key.starts_with("io.resin.");
    let tag = |(key, found): (&String, &Value)| match found.as_str() {
        _ if key.is_empty() || key.contains(char::is_whitespace) => Err(format!("tag key \"{key}\": whitespace is not allowed")),
        _ if reserved(key) => Err(format!("tag key \"{key}\": keys that begin so are the cloud's own")),
        Some(text) => Ok((key.clone(), text.to_owned())),
        None => Err(format!("tag \"{key}\": its value is not a string")),
    };
    fields.all().iter().map(tag).collect()
}

async fn vpn(call: Call) -> Outcome {
    let vpn = call.state.host.vpn().await;
    json(&value!({ "status": "success", "vpn": { "enabled": vpn.enabled, "connected": vpn.connected } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        let tags = |body: &str| tags_of(&Fields::parse("application/json", body.as_bytes()).unwrap());
        assert_eq!(tags(r#"{"place":"shed 7"}"#).unwrap(), BTreeMap::from([("place".to_owned(), "shed 7".to_owned())]));
        for wrong in
            [r#"{"a b":"c"}"#, r#"{"a":1}"#, r#"{"a":null}"#, r#"{"":"x"}"#, r#"{"io.balena.x":"y"}"#, "{\"a\\t\":\"b\"}"]
        {
            assert!(tags(wrong).is_err(), "{wrong}");
        }
    }
}
