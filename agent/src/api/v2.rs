//! Version 2 of the paths (protocol §17.4).

use std::collections::BTreeMap;

use holdfast_plan::current::Container;
use serde::Serialize;
use serde_json::json as value;

use super::answer::{Outcome, json};
use super::moment::rfc3339;
use super::release_state::{AppState, ServiceState, apps_of, image};
use super::route::{Access, Call, Route};
use super::v1::is_applying;
use crate::cloud::SUPERVISOR_COMPATIBLE_VERSION;
use crate::cloud::report::{ServiceStatus, UpdateStatus};
use crate::reconcile::View;

pub(super) static ROUTES: [Route; 3] = [
    Route::get("/v2/version", Access::Key, |_| Box::pin(version())),
    Route::get("/v2/state/status", Access::Key, |call| Box::pin(state_status(call))),
    Route::get("/v2/applications/state", Access::Key, |call| Box::pin(applications(call))),
];

async fn version() -> Outcome {
    json(&value!({ "status": "success", "version": SUPERVISOR_COMPATIBLE_VERSION }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateStatus<'a> {
    status: &'static str,
    app_state: &'static str,
    overall_download_progress: Option<f64>,
    containers: Vec<ContainerRow<'a>>,
    images: Vec<ImageRow<'a>>,
    release: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerRow<'a> {
    status: &'static str,
    service_name: &'a str,
    app_id: u64,
    image_id: Option<u64>,
    service_id: Option<u64>,
    container_id: &'a str,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageRow<'a> {
    name: String,
    app_id: u64,
    service_name: &'a str,
    image_id: u64,
    docker_image_id: Option<&'a str>,
    status: &'static str,
    download_progress: Option<u8>,
}

async fn state_status(call: Call) -> Outcome {
    let view = call.state.view();
    let apps = apps_of(&view, &call.caller);
    let images: Vec<ImageRow<'_>> = apps.iter().flat_map(|app| image_rows(&view, app)).collect();
    let downloads: Vec<f64> = images.iter().filter_map(|image| image.download_progress).map(f64::from).collect();
    let status = |container: &Container| {
        let services = apps.iter().filter(|app| app.id == container.app_id).flat_map(|app| &app.services);
        // A download, and what comes of it, is the image's state and not that of the container that is still there.
        let own = services.filter(|service| service.container.is_some_and(|c| c.id == container.id) && service.is_of_container);
        own.map(|service| service.status).next().unwrap_or(ServiceStatus::at_rest(container.state)).word()
    };
    let own = view.current.engine.containers.iter().filter(|container| call.caller.may_touch(container.app_id));
    let containers = own.map(|container| ContainerRow {
        status: status(container),
        service_name: &container.service,
        app_id: container.app_id,
        image_id: container.cloud_image_id,
        service_id: container.service_id,
        container_id: &container.id,
        created_at: rfc3339(container.created_ms),
    });
    json(&StateStatus {
        status: "success",
        app_state: if is_applying(&view) { "applying" } else { "applied" },
        overall_download_progress: (!downloads.is_empty()).then(|| downloads.iter().sum::<f64>() / downloads.len() as f64),
        containers: containers.collect(),
        images,
        release: apps.first().and_then(|app| app.settled),
    })
}

/// The images of an app that the engine has or that are being downloaded.
fn image_rows<'a>(view: &'a View, app: &AppState<'a>) -> Vec<ImageRow<'a>> {
    let row = |service: &ServiceState<'a>| {
        let wanted = service.wanted?;
        let present = image(view, &wanted.image);
        let progress = service.progress().filter(|_| service.doing.is_some());
        (present.is_some() || progress.is_some()).then(|| ImageRow {
            name: wanted.image.to_string(),
            app_id: app.id,
            service_name: service.name,
            image_id: wanted.image_id,
            docker_image_id: present.map(|image| image.id.as_str()),
            status: if progress.is_some() { "Downloading" } else { "Downloaded" },
            download_progress: progress,
        })
    };
    app.services.iter().filter_map(row).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Application<'a> {
    app_id: u64,
    app_uuid: &'a str,
    commit: Option<&'a str>,
    update_status: &'static str,
    services: BTreeMap<&'a str, ApplicationService>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationService {
    status: &'static str,
    image: String,
    download_progress: Option<u8>,
    release_id: u64,
}

async fn applications(call: Call) -> Outcome {
    let view = call.state.view();
    let apps = apps_of(&view, &call.caller);
    let mut answer = BTreeMap::new();
    let refused = view.target.iter().flat_map(|target| &target.refused);
    for (uuid, refused) in refused {
        let (Some(name), Some(app_id)) = (&refused.name, refused.id) else { continue };
        if !call.caller.may_touch(app_id) {
            continue;
        }
        let (commit, update_status) = (refused.commit.as_deref(), UpdateStatus::Rejected.word());
        answer.insert(name.as_str(), Application { app_id, app_uuid: uuid, commit, update_status, services: BTreeMap::new() });
    }
    let wanted = |app: &&AppState<'_>| view.target.as_ref().is_some_and(|target| target.apps.contains_key(app.uuid));
    for app in apps.iter().filter(wanted) {
        answer.insert(&app.name, application(app));
    }
    json(&answer)
}

fn application<'a>(app: &AppState<'a>) -> Application<'a> {
    let release_id = app.wanted.map_or(0, |(_, id)| id);
    let services = app.services.iter().filter_map(|service| {
        let image = service.wanted?.image.to_string();
        let row = ApplicationService { status: service.status.word(), image, download_progress: service.progress(), release_id };
        Some((service.name, row))
    });
    Application {
        app_id: app.id,
        app_uuid: app.uuid,
        commit: app.wanted.map(|(commit, _)| commit),
        update_status: app.update_status().word(),
        services: services.collect(),
    }
}
