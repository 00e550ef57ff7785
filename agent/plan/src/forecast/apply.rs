//! What a step does to the model, when it succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::container::{ContainerName, ContainerSpec, MADE_FROM_LABEL};
use crate::current::{BootFile, Container, ContainerState, Current, Health, Image, LockHolder, Network, ServiceLock, Volume};
use crate::memory::{ImageRecord, Memory, Remember};
use crate::plan::{Action, Step};
use crate::policy::Now;
use crate::target::{AppId, ImageRef, NetworkSpec};

/// Applies one step to a model of the present and to memory, as if it had succeeded.
pub fn apply(current: &mut Current, memory: &mut Memory, step: &Step, now: Now) {
    match &step.action {
        Action::Fetch { image, app_uuid, service } => {
            let pulled = pulled(image);
            let record = ImageRecord {
                image: image.clone(),
                engine_id: pulled.id.clone(),
                app_uuid: app_uuid.clone(),
                service: service.clone(),
                size_bytes: 0,
                pulled_ms: now.wall_ms,
            };
            current.engine.images.push(pulled);
            memory.apply(&Remember::Image(record));
        }
        Action::AdoptImage { record } => memory.apply(&Remember::Image(record.clone())),
        Action::RemoveImage { image } => {
            let text = image.to_string();
            let gone = memory.images.remove(&text).map(|record| record.engine_id);
            current.engine.images.retain(|present| Some(&present.id) != gone.as_ref());
        }
        Action::RemoveDangling { id } => current.engine.images.retain(|present| present.id != *id),
        Action::CreateNetwork { name, network, app_id } => current.engine.networks.push(made_network(name, network, *app_id)),
        Action::RemoveNetwork { id, .. } => current.engine.networks.retain(|network| network.id != *id),
        Action::CreateVolume { name, volume, app_uuid } => {
            let labels = BTreeMap::from([
                ("io.balena.supervised".to_owned(), "true".to_owned()),
                ("io.balena.app-uuid".to_owned(), app_uuid.clone()),
            ]);
            current.engine.volumes.push(Volume { name: name.clone(), spec: volume.clone(), labels, created_ms: now.wall_ms });
        }
        Action::RemoveVolume { name } => current.engine.volumes.retain(|volume| volume.name != *name),
        Action::TakeLock { app_id, services, .. } => {
            let lock = ServiceLock { holder: LockHolder::Agent { complete: true } };
            let held = current.locks.held.entry(*app_id).or_default();
            held.extend(services.iter().map(|service| (service.clone(), lock.clone())));
        }
        Action::ReleaseLock { app_id, services } => {
            if let Some(held) = current.locks.held.get_mut(app_id) {
                held.retain(|service, lock| !services.contains(service) || !matches!(lock.holder, LockHolder::Agent { .. }));
            }
        }
        Action::Create { spec, start } => current.engine.containers.push(made_container(current, spec, *start, now)),
        Action::Start { container } => on(current, &container.id, |c| c.state = ContainerState::Running),
        Action::Stop { container } => on(current, &container.id, |c| c.state = ContainerState::Exited),
        Action::Kill { container } => current.engine.containers.retain(|c| c.id != container.id),
        Action::Rename { container, name } => on(current, &container.id, |c| rename(c, name)),
        Action::SetRestartPolicy { container, policy } => {
            on(current, &container.id, |c| Arc::make_mut(&mut c.spec).options.restart = *policy)
        }
        Action::ClearMarker { app_id, service } => {
            if let Some(services) = current.locks.handed_over.get_mut(app_id) {
                services.remove(service);
            }
        }
        Action::WriteBootConfig { back_end, changes, why } => {
            if let Some(BootFile::Says(values)) = current.host.boot.get_mut(back_end) {
                for (key, wanted) in changes {
                    match wanted {
                        Some(wanted) => values.insert(key.clone(), wanted.clone()),
                        None => values.remove(key),
                    };
                }
            }
            current.host.reboot.insert(why.clone());
        }
        Action::RequireReboot { why } => {
            current.host.reboot.insert(why.clone());
        }
        Action::Reboot => restart(current),
        Action::Remember { change } => memory.apply(change),
    }
}

/// The device has started again: locks are gone, and what was made before is older than this run.
fn restart(current: &mut Current) {
    current.host.reboot.clear();
    current.host.boot_id.push('+');
    current.locks.held.clear();
    for container in &mut current.engine.containers {
        container.created_ms = i64::MIN;
    }
}

fn on(current: &mut Current, id: &str, change: impl FnOnce(&mut Container)) {
    if let Some(container) = current.engine.containers.iter_mut().find(|container| container.id == id) {
        change(container);
    }
}

fn rename(container: &mut Container, name: &str) {
    Arc::make_mut(&mut container.spec).name = name.to_owned();
    if let Some(parsed) = ContainerName::parse(name) {
        container.commit = parsed.commit;
        container.release_id = Some(parsed.release_id);
        container.cloud_image_id = Some(parsed.image_id);
        container.handing_over = parsed.handing_over;
    }
}

/// An image whose content is not known before it is pulled.
fn pulled(image: &ImageRef) -> Image {
    let text = image.to_string();
    let (tags, digests) =
        if image.digest.is_some() { (Vec::new(), vec![text.clone()]) } else { (vec![text.clone()], Vec::new()) };
    Image { id: format!("sha256:to-be-pulled {text}"), tags, digests, size_bytes: 0 }
}

fn made_network(name: &str, spec: &NetworkSpec, app_id: AppId) -> Network {
    let mut labels = BTreeMap::from([
        ("io.balena.supervised".to_owned(), "true".to_owned()),
        ("io.balena.app-id".to_owned(), app_id.to_string()),
    ]);
    labels.insert(MADE_FROM_LABEL.to_owned(), spec.mark());
    if !spec.ipam_pools.is_empty() {
        labels.insert("io.balena.private.ipam.config".into(), "true".into());
    }
    Network { id: format!("new {name}"), name: name.to_owned(), spec: spec.clone(), labels }
}

fn made_container(current: &Current, spec: &ContainerSpec, start: bool, now: Now) -> Container {
    let name = ContainerName::parse(&spec.name);
    let label = |key: &str| spec.labels.get(key);
    let with_check =
        spec.options.healthcheck.as_ref().and_then(|check| check.test.as_ref()).is_some_and(|test| test.as_slice() != ["NONE"]);
    // Newer than everything there, also when the clock is not set.
    let newest = current.engine.containers.iter().map(|container| container.created_ms).max().unwrap_or(0);
    Container {
        id: format!("new {}", spec.name),
        app_id: label("io.balena.app-id").and_then(|id| id.parse().ok()).unwrap_or_default(),
        app_uuid: label("io.balena.app-uuid").cloned(),
        service: label("io.balena.service-name").cloned().unwrap_or_default(),
        service_id: label("io.balena.service-id").and_then(|id| id.parse().ok()),
        commit: name.as_ref().map(|name| name.commit.clone()).unwrap_or_default(),
        release_id: name.as_ref().map(|name| name.release_id),
        cloud_image_id: name.as_ref().map(|name| name.image_id),
        handing_over: false,
        image_id: spec.image.clone(),
        created_ms: newest + 1,
        started_ms: now.wall_ms.filter(|_| start),
        finished_ms: None,
        state: if start { ContainerState::Running } else { ContainerState::Created },
        exit_code: 0,
        error: String::new(),
        health: with_check.then_some(Health::Starting),
        restart_count: 0,
        spec: Arc::new(spec.clone()),
        image_config: None,
    }
}
