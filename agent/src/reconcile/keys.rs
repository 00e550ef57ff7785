//! Keys of the local API: made and stored before planning, so that the plan stays pure.

use holdfast_plan::current::EngineState;
use holdfast_plan::target::{AppId, DeviceTarget};
use ring::rand::{SecureRandom, SystemRandom};

use super::Keyring;
use crate::store::{Change, KeyOwner};

/// Where a container has its key: under the present name, and under the older one.
const KEY_VARIABLES: [&str; 2] = ["BALENA_SUPERVISOR_API_KEY", "RESIN_SUPERVISOR_API_KEY"];

/// 16 random bytes as 32 hex digits; `None` when the machine gives no randomness.
pub(super) fn generate() -> Option<String> {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(crate::settings::hex(&bytes))
}

/// The global key and those that the target's services need, where they are not there yet. A key that a running container was
/// given already is taken over: changing it would recreate the container.
pub(super) fn missing(
    target: &DeviceTarget,
    engine: &EngineState,
    keys: &Keyring,
    mut make: impl FnMut() -> Option<String>,
) -> Vec<(KeyOwner, String)> {
    let mut new: Vec<(KeyOwner, String)> = Vec::new();
    for app in target.apps.values() {
        for (name, service) in app.release.iter().flat_map(|release| &release.services) {
            let owner = Some((app.id, name.clone()));
            if !service.has_feature("supervisor-api") || keys.get(&owner).is_some() {
                continue;
            }
            let present = engine.containers.iter().filter(|c| c.app_id == app.id && c.service == *name);
            let given = present.flat_map(|c| KEY_VARIABLES.iter().filter_map(|variable| c.spec.environment.get(*variable)));
            // Keys tell services apart: one that two of them were given cannot stay with both.
            let known = |key: &String| keys.holds(key) || new.iter().any(|(_, other)| other == key);
            let carried = given.filter(|key| is_key(key)).find(|key| !known(key)).cloned();
            if let Some(key) = carried.or_else(&mut make) {
                new.push((owner, key));
            }
        }
    }
    if keys.global().is_none()
        && let Some(key) = make()
    {
        new.push((None, key));
    }
    new
}

/// Whose keys nobody needs any more: no service of the target that is to have one, and no container that was given it.
pub(super) fn departed(target: &DeviceTarget, engine: &EngineState, keys: &Keyring) -> Vec<KeyOwner> {
    let wanted = |app: AppId, name: &str| {
        let releases = target.apps.values().filter(|of| of.id == app).filter_map(|app| app.release.as_ref());
        releases.filter_map(|release| release.services.get(name)).any(|service| service.has_feature("supervisor-api"))
    };
    let given = |key: &str| {
        let carried =
            |variable: &&str| engine.containers.iter().any(|c| c.spec.environment.get(*variable).is_some_and(|is| is == key));
        KEY_VARIABLES.iter().any(carried)
    };
    let gone = keys.iter().filter(|(owner, key)| match owner {
        Some((app, name)) => !wanted(*app, name) && !given(key.reveal()),
        None => false,
    });
    gone.map(|(owner, _)| owner.clone()).collect()
}

/// Whose key it is, in words.
pub(super) fn whose(owner: &KeyOwner) -> String {
    match owner {
        Some((app, service)) => format!("key of service {service} of app {app}"),
        None => "global key".to_owned(),
    }
}

/// The value that says when a key was made.
pub(super) fn made_name(owner: &KeyOwner) -> String {
    match owner {
        Some((app, service)) => format!("local API key made {app}/{service}"),
        None => "local API key made".to_owned(),
    }
}

/// The change that records it; nothing is recorded by a clock that cannot be trusted.
pub(super) fn made_at(owner: &KeyOwner, wall_ms: Option<i64>) -> Change {
    Change::Value { name: made_name(owner), value: wall_ms.map(|ms| ms.to_string()) }
}

fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
