//! Named volumes: read back, made with the agent's labels, removed by name (behaviour §5, protocol §18.4).

use std::collections::{BTreeMap, HashMap};

use bollard::models::{self, VolumeCreateRequest};
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};
use holdfast_plan::current::Volume;
use holdfast_plan::target::{AppUuid, VolumeSpec};
use serde_json::Value;

use super::errors::gone_is_fine;
use super::names::checked;
use super::raw;
use super::recognise::{Scope, given_labels};
use super::time::unix_ms;
use super::{LOOK_LIMIT, Shared, WORK_LIMIT};
use crate::engine::{EngineError, Result};

/// The agent's own labels on volumes, without their prefix.
const OWN_LABELS: [&str; 2] = ["supervised", "app-uuid"];

impl Shared {
    /// Volumes that look like an app's.
    pub(super) async fn list_volumes(&self) -> Result<Vec<Volume>> {
        let list = |docker: bollard::Docker| async move { docker.list_volumes(None::<ListVolumesOptions>).await };
        let all = self.link.call("list of volumes", LOOK_LIMIT, list).await?.volumes.unwrap_or_default();
        let ours = all.into_iter().filter(|volume| self.scope.is_our_volume(&volume.name, &volume.labels));
        let mut volumes: Vec<Volume> = ours.map(|volume| volume_in(volume, &self.scope)).collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Makes a volume. The engine answers with the one that is there already, whatever was asked for: that is fine only
    /// when it is the same.
    pub(super) async fn create_volume(&self, name: &str, spec: &VolumeSpec, app: &AppUuid) -> Result<()> {
        let object = format!("volume {name}");
        let name = checked(&object, name)?;
        let request = request_out(name, spec, app, &self.scope);
        let create = |docker: bollard::Docker| async move { docker.create_volume(request).await };
        let made = self.link.call(&object, WORK_LIMIT, create).await?;
        if self.scope.admits(&made.labels) && volume_in(made, &self.scope).spec == *spec {
            return Ok(());
        }
        let message = "a volume of this name is there with other settings or another owner; it was not touched".to_owned();
        Err(EngineError::Conflict { object, message })
    }

    /// Makes a volume anew with the same settings and labels. A removal that is interrupted leaves it as it was; one that is
    /// done leaves none until it is made again, here or by the plan.
    pub(super) async fn empty_volume(&self, volume: &Volume) -> Result<()> {
        self.remove_volume(&volume.name).await?;
        let object = format!("volume {}", volume.name);
        let request = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: Some(volume.spec.driver.clone()),
            driver_opts: Some(volume.spec.driver_opts.clone().into_iter().collect()),
            labels: Some(self.scope.mark(volume.labels.clone().into_iter().collect())),
            ..VolumeCreateRequest::default()
        };
        let create = |docker: bollard::Docker| async move { docker.create_volume(request).await };
        self.link.call(&object, WORK_LIMIT, create).await.map(|_| ())
    }

    /// The sizes of all volumes. Asked for by hand: the client understands this answer only in its newest wording.
    pub(super) async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>> {
        let usage = raw::get(&self.link, "sizes of volumes", "/system/df?type=volume", LOOK_LIMIT).await?;
        let volumes = usage.get("Volumes").or_else(|| usage.pointer("/VolumeUsage/Items"));
        let size = |volume: &Value| {
            // -1 where the driver does not tell.
            let size = volume.pointer("/UsageData/Size")?.as_u64()?;
            Some((volume.get("Name")?.as_str()?.to_owned(), size))
        };
        Ok(volumes.and_then(Value::as_array).into_iter().flatten().filter_map(size).collect())
    }

    /// Removes a volume and its data; gone is fine.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<()> {
        let object = format!("volume {name}");
        let name = checked(&object, name)?;
        let remove = |docker: bollard::Docker| async move { docker.remove_volume(name, None::<RemoveVolumeOptions>).await };
        gone_is_fine(self.link.call(&object, WORK_LIMIT, remove).await)
    }
}

fn request_out(name: &str, spec: &VolumeSpec, app: &AppUuid, scope: &Scope) -> VolumeCreateRequest {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert("io.balena.supervised".into(), "true".into());
    labels.insert("io.balena.app-uuid".into(), app.clone());
    VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some(spec.driver.clone()),
        driver_opts: Some(spec.driver_opts.clone().into_iter().collect()),
        labels: Some(scope.mark(labels)),
        ..VolumeCreateRequest::default()
    }
}

fn volume_in(volume: models::Volume, scope: &Scope) -> Volume {
    let labels = scope.unmark(&volume.labels);
    let spec = VolumeSpec {
        driver: volume.driver,
        driver_opts: volume.options.into_iter().collect(),
        labels: given_labels(&labels, &OWN_LABELS),
    };
    Volume { name: volume.name, spec, labels, created_ms: volume.created_at.as_deref().and_then(unix_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_come_back_as_they_went() {
        let spec = VolumeSpec { labels: BTreeMap::from([("mine".to_owned(), "1".to_owned())]), ..VolumeSpec::default() };
        let request = request_out("7_data", &spec, &"u".to_owned(), &Scope::new(Some("demo".into())));
        let made = models::Volume {
            name: "7_data".into(),
            driver: request.driver.unwrap_or_default(),
            labels: request.labels.unwrap_or_default(),
            options: request.driver_opts.unwrap_or_default(),
            created_at: Some("2026-11-21T07:54:00Z".into()),
            ..models::Volume::default()
        };
        let volume = volume_in(made, &Scope::new(Some("demo".into())));
        assert_eq!((volume.spec, volume.created_ms), (spec, Some(1_795_247_640_000)));
        assert_eq!(volume.labels.keys().collect::<Vec<_>>(), ["io.balena.app-uuid", "io.balena.supervised", "mine"]);
    }
}
