//! Keys for services that may call the local API: made and stored before planning, so that the plan stays pure.

use std::collections::BTreeMap;

use holdfast_plan::current::EngineState;
use holdfast_plan::target::{AppId, DeviceTarget};
use ring::rand::{SecureRandom, SystemRandom};

use crate::policy::truthy;
use crate::store::Change;

/// The label that gives a service a key (protocol §18.3).
const API_LABEL: &str = "io.balena.features.supervisor-api";

/// Where a container has its key: under the present name, and under the older one.
const KEY_VARIABLES: [&str; 2] = ["BALENA_SUPERVISOR_API_KEY", "RESIN_SUPERVISOR_API_KEY"];

/// 16 random bytes as 32 hex digits; `None` when the machine gives no randomness.
pub(super) fn generate() -> Option<String> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Keys that the target's services need and that are not there yet. A key that a running container was given already is
/// taken over: changing it would recreate the container.
pub(super) fn missing(
    target: &DeviceTarget,
    engine: &EngineState,
    keys: &BTreeMap<(AppId, String), String>,
    mut make: impl FnMut() -> Option<String>,
) -> Vec<((AppId, String), String)> {
    let mut new: Vec<((AppId, String), String)> = Vec::new();
    for app in target.apps.values() {
        for (name, service) in app.release.iter().flat_map(|release| &release.services) {
            let owner = (app.id, name.clone());
            if !service.labels.get(API_LABEL).is_some_and(|value| truthy(value)) || keys.contains_key(&owner) {
                continue;
            }
            let present = engine.containers.iter().filter(|c| c.app_id == app.id && c.service == *name);
            let given = present.flat_map(|c| KEY_VARIABLES.iter().filter_map(|variable| c.spec.environment.get(*variable)));
            // Keys tell services apart: one that two of them were given cannot stay with both.
            let known = |key: &String| keys.values().chain(new.iter().map(|(_, key)| key)).any(|other| other == key);
            let carried = given.filter(|key| is_key(key)).find(|key| !known(key)).cloned();
            if let Some(key) = carried.or_else(&mut make) {
                new.push((owner, key));
            }
        }
    }
    new
}

/// The changes that store them.
pub(super) fn changes(keys: &[((AppId, String), String)]) -> Vec<Change> {
    keys.iter().map(|(owner, key)| Change::ApiKey { owner: Some(owner.clone()), key: key.clone() }).collect()
}

fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
