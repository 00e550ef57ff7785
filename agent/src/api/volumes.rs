//! The volumes of apps: `/v3/volumes`.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_plan::container::volume_name;
use holdfast_plan::current::Volume;
use holdfast_plan::policy::Now;
use holdfast_plan::target::{App, MountSource, ServiceMount};
use hyper::StatusCode;
use serde::Serialize;

use super::ApiState;
use super::answer::Refusal;
use super::moment::{Ago, Ahead};
use super::reading::read_by_field;
use crate::reconcile::View;

/// How long the engine may count bytes.
const SIZES_LIMIT: Duration = Duration::from_secs(20);

/// What `/v3/volumes` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeList {
    /// Every volume that is named like an app's.
    pub volumes: Vec<VolumeRow>,
    /// Why sizes are missing, if they are.
    pub sizes_missing: Option<String>,
}

read_by_field!(VolumeList { volumes, sizes_missing });

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeRow {
    /// Name in the engine.
    pub name: String,
    /// Numeric id of its app.
    pub app_id: u64,
    /// Its app's name.
    pub app: String,
    /// Bytes in it, where the engine tells.
    pub size_bytes: Option<u64>,
    /// Since when it is there, by the engine's clock.
    pub since: Option<Ago>,
    /// Who mounts it.
    pub used_by: Vec<VolumeUse>,
    /// Whether its app is not in the target: nobody is going to use it.
    pub orphan: bool,
    /// When the grace period of an app that left the target ends, and the volume with it.
    pub removed: Option<Ahead>,
}

read_by_field!(VolumeRow { name, app_id, app, size_bytes, since, used_by, orphan, removed });

/// A service that mounts a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeUse {
    /// Service.
    pub service: String,
    /// Whether its container runs now.
    pub running: bool,
}

read_by_field!(VolumeUse { service, running });

/// The volumes of the loop's last look, with their sizes.
pub(super) async fn volume_list(state: &ApiState) -> VolumeList {
    let (view, now) = (state.view(), state.now());
    let (sizes, sizes_missing) = match tokio::time::timeout(SIZES_LIMIT, state.engine.volume_sizes()).await {
        Ok(Ok(sizes)) => (sizes, None),
        Ok(Err(error)) => (BTreeMap::new(), Some(error.to_string())),
        Err(_) => (BTreeMap::new(), Some(format!("the engine did not add them up within {} s", SIZES_LIMIT.as_secs()))),
    };
    let row = |volume: &Volume| VolumeRow { size_bytes: sizes.get(&volume.name).copied(), ..volume_row(&view, volume, now) };
    VolumeList { volumes: view.current.engine.volumes.iter().map(row).collect(), sizes_missing }
}

/// One volume without its size.
pub(super) fn volume_row(view: &View, volume: &Volume, now: Now) -> VolumeRow {
    // 0 where the number is none.
    let app_id = volume.app().unwrap_or_default();
    let target = view.target.as_deref();
    let app = target.and_then(|target| target.app(app_id));
    let refused = target.and_then(|target| target.refused.values().find(|refused| refused.id == Some(app_id)));
    let name = app.map(|app| app.name.clone()).or_else(|| refused.and_then(|refused| refused.name.clone()));
    let departed = view.memory.departed.get(&app_id).filter(|_| volume.is_supervised());
    VolumeRow {
        name: volume.name.clone(),
        app_id,
        app: name.unwrap_or_else(|| format!("app {app_id}")),
        size_bytes: None,
        since: volume.created_ms.and_then(|ms| Ago::from_wall(ms, now)),
        used_by: users(view, volume, app),
        orphan: target.is_some() && app.is_none() && refused.is_none(),
        removed: departed.and_then(|since| Ahead::from_wall(since.saturating_add(view.policy.volume_grace_ms), now)),
    }
}

/// Services whose container mounts it, and those of the target that will.
fn users(view: &View, volume: &Volume, app: Option<&App>) -> Vec<VolumeUse> {
    let mut users: BTreeMap<&str, bool> = BTreeMap::new();
    for container in view.current.engine.containers.iter().filter(|container| container.mounts_volume(&volume.name)) {
        *users.entry(&container.service).or_default() |= container.is_up();
    }
    for (app, release) in app.iter().filter_map(|app| Some((app, app.release.as_ref()?))) {
        let is_it = |mount: &ServiceMount| match &mount.source {
            MountSource::Short { volume: short, .. } | MountSource::Volume { volume: short, .. } => {
                volume_name(app.id, short) == volume.name
            }
            MountSource::Anonymous | MountSource::Tmpfs { .. } => false,
        };
        for (name, service) in &release.services {
            if service.mounts.iter().any(is_it) {
                users.entry(name).or_default();
            }
        }
    }
    users.into_iter().map(|(service, running)| VolumeUse { service: service.to_owned(), running }).collect()
}

/// The volume a person means: by its name in the engine, or by its name in the release where only one app has such a one.
pub(super) fn find<'a>(view: &'a View, name: &str) -> Result<&'a Volume, Refusal> {
    let volumes = &view.current.engine.volumes;
    if let Some(exact) = volumes.iter().find(|volume| volume.name == name) {
        return Ok(exact);
    }
    let meant: Vec<&Volume> =
        volumes.iter().filter(|volume| volume.name.split_once('_').is_some_and(|(_, short)| short == name)).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => {
            let message = format!("there is no volume {name} (holdfast volume list shows those that are there)");
            Err(Refusal::new(StatusCode::NOT_FOUND, message))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|volume| volume.name.as_str()).collect();
            Err(Refusal::bad(format!("several apps have a volume {name}; say which: {}", names.join(", "))))
        }
    }
}
