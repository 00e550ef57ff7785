//! What is allowed this round, from the device's configuration and the running request.

use std::collections::BTreeMap;

use holdfast_plan::current::EngineState;
use holdfast_plan::memory::Memory;
use holdfast_plan::policy::{Force, Policy};

/// Names of the variable that breaks update locks, without prefix; the second is the older one (behaviour §6).
const OVERRIDE_NAMES: [&str; 2] = ["SUPERVISOR_OVERRIDE_LOCK", "OVERRIDE_LOCK"];

/// Prefixes of device variables; `BALENA_` wins, none is accepted (behaviour §10).
const PREFIXES: [&str; 3] = ["BALENA_", "RESIN_", ""];

/// A boolean as the cloud and applications write it (protocol §17.1).
pub fn truthy(text: &str) -> bool {
    ["1", "true", "on"].iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// Whether the device's configuration says that update locks do not count.
pub fn override_requested(config: &BTreeMap<String, String>) -> bool {
    let value = OVERRIDE_NAMES.iter().find_map(|name| PREFIXES.iter().find_map(|prefix| config.get(&format!("{prefix}{name}"))));
    value.is_some_and(|value| truthy(value))
}

/// Puts the round's policy together.
pub(super) fn evaluate(
    config: &BTreeMap<String, String>,
    request: Option<&Force>,
    engine: &EngineState,
    memory: &Memory,
    volume_grace_ms: i64,
) -> Policy {
    let variable = override_requested(config).then_some(Force::OverrideVariable);
    Policy { force: request.cloned().or(variable), volume_grace_ms, watch_only: watch_only(engine, memory), ..Policy::default() }
}

/// Why nothing may be changed (design, "What must always hold", 4).
fn watch_only(engine: &EngineState, memory: &Memory) -> Option<String> {
    if let Some(name) = &engine.other_supervisor {
        return Some(format!(
            "balena-supervisor runs on this engine (container {name}); stop and disable it to let holdfast take over its containers"
        ));
    }
    (!memory.target_stored && !engine.containers.is_empty()).then(|| {
        format!(
            "the engine has {} supervised container(s) and no target was ever stored on this device; they are left alone until the first target arrives",
            engine.containers.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_override_variable_in_all_its_spellings() {
        let config = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        for key in [
            "BALENA_SUPERVISOR_OVERRIDE_LOCK",
            "RESIN_SUPERVISOR_OVERRIDE_LOCK",
            "SUPERVISOR_OVERRIDE_LOCK",
            "RESIN_OVERRIDE_LOCK",
        ] {
            assert!(override_requested(&config(key, "1")), "{key}");
            assert!(!override_requested(&config(key, "0")), "{key}");
        }
        assert!(override_requested(&config("BALENA_SUPERVISOR_OVERRIDE_LOCK", "True")));
    }

    #[test]
    fn watches_beside_another_supervisor() {
        let memory = Memory { target_stored: true, ..Memory::default() };
        let engine = EngineState { other_supervisor: Some("balena_supervisor".into()), ..EngineState::default() };
        assert!(
            evaluate(&BTreeMap::new(), None, &engine, &memory, 0).watch_only.is_some_and(|why| why.contains("balena_supervisor"))
        );
        assert_eq!(evaluate(&BTreeMap::new(), None, &EngineState::default(), &memory, 0).watch_only, None);
    }
}
