//! What one service of the wanted release is at (protocol §6.3).

use std::collections::BTreeMap;

use holdfast_plan::container::ContainerName;
use holdfast_plan::current::{Container, ContainerState};
use holdfast_plan::plan::{Action, Step};
use holdfast_plan::target::{App, ImageRef, Release, Service};

use super::picture::Picture;
use super::status::ServiceStatus;

/// The service's status: that of its container of this release, if there is one, else that of its image.
pub fn status(picture: &Picture<'_>, app: &App, release: &Release, service: &Service) -> ServiceStatus {
    match container(picture, app, release, service) {
        Some(container) => of_container(picture, app, container),
        None => of_image(picture, app, service),
    }
}

/// The service's container of this release; of several the newest, and the old one of a hand-over only when it is alone.
fn container<'a>(picture: &Picture<'a>, app: &'a App, release: &'a Release, service: &'a Service) -> Option<&'a Container> {
    of_service(picture, app, &service.name)
        .filter(|container| match container.commit.as_str() {
            "" => container.release_id == Some(release.id),
            commit => commit == release.commit,
        })
        .max_by_key(|container| (!container.handing_over, container.created_ms))
}

/// All containers of a service, of whatever release.
fn of_service<'a>(picture: &Picture<'a>, app: &'a App, service: &'a str) -> impl Iterator<Item = &'a Container> {
    picture.current.engine.containers.iter().filter(move |container| {
        let same_app = match &container.app_uuid {
            Some(uuid) => *uuid == app.uuid,
            None => container.app_id == app.id,
        };
        same_app && container.service == service
    })
}

fn of_container(picture: &Picture<'_>, app: &App, container: &Container) -> ServiceStatus {
    for running in picture.in_flight {
        match &running.step.action {
            Action::Stop { container: named } | Action::Kill { container: named } if named.id == container.id => {
                return ServiceStatus::Stopping;
            }
            Action::Start { container: named } if named.id == container.id => return ServiceStatus::Starting,
            // It is made already; what the step still does is start it.
            Action::Create { spec, start: true }
                if spec.name == container.spec.name && container.state == ContainerState::Created =>
            {
                return ServiceStatus::Starting;
            }
            _ => {}
        }
    }
    let at_rest = ServiceStatus::at_rest(container.state);
    match (at_rest, other_running(picture, app, container)) {
        (ServiceStatus::Running, Some(other)) if (container.created_ms, &container.id) < (other.created_ms, &other.id) => {
            ServiceStatus::HandingOver
        }
        (ServiceStatus::Running, Some(_)) => ServiceStatus::AwaitingHandover,
        _ => at_rest,
    }
}

/// The other container of a hand-over: one of the same service that runs too.
fn other_running<'a>(picture: &Picture<'a>, app: &'a App, container: &'a Container) -> Option<&'a Container> {
    of_service(picture, app, &container.service).find(|other| {
        other.id != container.id
            && other.state == ContainerState::Running
            && (other.commit != container.commit || other.handing_over != container.handing_over)
    })
}

fn of_image(picture: &Picture<'_>, app: &App, service: &Service) -> ServiceStatus {
    for running in picture.in_flight {
        match &running.step.action {
            Action::Create { spec, .. } if is_for(running.step, &spec.labels, &spec.name, app, service) => {
                return ServiceStatus::Installing;
            }
            Action::Fetch { image, .. } if image.same_image(&service.image) => {
                return ServiceStatus::Downloading(running.progress.unwrap_or(0).min(100));
            }
            _ => {}
        }
    }
    // A download that failed and waits to be tried again is still a download.
    if is_present(picture, &service.image) { ServiceStatus::Downloaded } else { ServiceStatus::Downloading(0) }
}

/// Whether a container that is being made is this service's.
fn is_for(step: &Step, labels: &BTreeMap<String, String>, name: &str, app: &App, service: &Service) -> bool {
    let same_app = match (labels.get("io.balena.app-uuid"), labels.get("io.balena.app-id")) {
        (Some(uuid), _) => *uuid == app.uuid,
        (None, Some(id)) => *id == app.id.to_string(),
        (None, None) => step.app.as_deref() == Some(app.name.as_str()),
    };
    let name = ContainerName::parse(name).map(|name| name.service).or_else(|| step.service.clone());
    same_app && name.as_deref() == Some(service.name.as_str())
}

/// Whether the engine has an image, by its reference or under the id it was recorded with.
fn is_present(picture: &Picture<'_>, image: &ImageRef) -> bool {
    let has = |id: &str| picture.current.engine.images.iter().any(|present| present.id == id);
    if picture.memory.images.values().any(|record| record.image.same_image(image) && has(&record.engine_id)) {
        return true;
    }
    let text = image.to_string();
    picture.current.engine.images.iter().any(|present| match &image.digest {
        Some(digest) => present.digests.iter().any(|known| known.split_once('@').is_some_and(|(_, known)| known == digest)),
        None => present.tags.contains(&text),
    })
}
