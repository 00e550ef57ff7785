//! From a service of the target to the container it asks for (behaviour §4, protocol §18).

use super::ContainerSpec;
use crate::facts::Facts;
use crate::target::{App, AppId, AppUuid, Release, Service};

/// Name of a release's network in the engine, `<appUuid>_<name>` (behaviour §5).
pub fn network_name(app: &AppUuid, name: &str) -> String {
    format!("{app}_{name}")
}

/// Name of a release's volume in the engine, `<appId>_<name>` (behaviour §5).
pub fn volume_name(app: AppId, name: &str) -> String {
    format!("{app}_{name}")
}

/// The container a service asks for. `engine_image` is the engine's id of its image, where known.
pub fn specify(_app: &App, _release: &Release, _service: &Service, _facts: &Facts, _engine_image: Option<&str>) -> ContainerSpec {
    ContainerSpec::default()
}
