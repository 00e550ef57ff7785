//! Keys for services that may call the local API: made and stored before planning, so that the plan stays pure.

use std::collections::BTreeMap;

use holdfast_plan::current::EngineState;
use holdfast_plan::target::{AppId, DeviceTarget};
use ring::rand::{SecureRandom, SystemRandom};

use crate::policy::truthy;
use crate::store::Change;

/// The label that gives a service a key (protocol §18.3).
const API_LABEL: &str = "io.balena.features.supervisor-api";

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
    let mut new = Vec::new();
    for app in target.apps.values() {
        for (name, service) in app.release.iter().flat_map(|release| &release.services) {
            let owner = (app.id, name.clone());
            if !service.labels.get(API_LABEL).is_some_and(|value| truthy(value)) || keys.contains_key(&owner) {
                continue;
            }
            let present = engine.containers.iter().filter(|c| c.app_id == app.id && c.service == *name);
            // Old agents gave all services the same key: here it can be one owner's only.
            let is_free = |key: &String| !keys.values().chain(new.iter().map(|(_, key)| key)).any(|taken| taken == key);
            let carried = present.filter_map(|c| c.spec.environment.get("BALENA_SUPERVISOR_API_KEY"));
            let carried = carried.filter(|key| is_free(key)).find(|key| is_key(key));
            if let Some(key) = carried.cloned().or_else(&mut make) {
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
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
