//! Apps and services of the loop's picture in the protocol's words (protocol §6.3): what versions 1 to 3 all draw on.

use holdfast_plan::current::{Container, Image};
use holdfast_plan::plan::Action;
use holdfast_plan::target::{App, AppClass, AppId, DeviceTarget, ImageRef, Release, Service};

use super::caller::Caller;
use crate::cloud::report::{InFlight, Picture, ServiceStatus, UpdateStatus, service_status};
use crate::reconcile::{Doing, View};

/// One app of the target, or one that left it and still has containers.
pub(super) struct AppState<'a> {
    /// Numeric id.
    pub id: AppId,
    /// Uuid; empty where nothing tells it.
    pub uuid: &'a str,
    /// Name, or `app <id>` for one that left the target.
    pub name: String,
    /// The wanted release's commit and numeric id.
    pub wanted: Option<(&'a str, u64)>,
    /// The commit the app last ran entirely.
    pub settled: Option<&'a str>,
    /// Its services, wanted or present.
    pub services: Vec<ServiceState<'a>>,
}

/// One service.
pub(super) struct ServiceState<'a> {
    /// Name.
    pub name: &'a str,
    /// What the target asks for; `None` for one that is to go.
    pub wanted: Option<&'a Service>,
    /// Its container: that of the wanted release if there is one, else the newest.
    pub container: Option<&'a Container>,
    /// Whether `status` is that of `container`; otherwise it is about the wanted release, which has none yet.
    pub is_of_container: bool,
    /// Whether the engine has the wanted image.
    pub image_present: bool,
    /// A step that works on it now.
    pub doing: Option<&'a Doing>,
    /// What it is at, as it is reported to the cloud.
    pub status: ServiceStatus,
}

impl ServiceState<'_> {
    /// Percent, while downloading.
    pub fn progress(&self) -> Option<u8> {
        match self.status {
            ServiceStatus::Downloading(percent) => Some(percent),
            _ => None,
        }
    }
}

impl AppState<'_> {
    /// How far the wanted release is: the least advanced of its services (protocol §6.3).
    pub fn update_status(&self) -> UpdateStatus {
        let wanted = self.services.iter().filter_map(|service| Some((service.status, service.wanted?)));
        wanted.map(|(status, wanted)| status.update(wanted.running)).min().unwrap_or(UpdateStatus::Done)
    }
}

/// Every app, the fleet's own first: where the protocol speaks of "the first app" it is that one.
pub(super) fn apps(view: &View) -> Vec<AppState<'_>> {
    let target = view.target.as_deref();
    let mut wanted: Vec<&App> = target.map(|t| t.apps.values().filter(|app| !app.is_host).collect()).unwrap_or_default();
    wanted.sort_by_key(|app| (app.class != AppClass::Fleet, app.id));
    let mut apps: Vec<AppState<'_>> = wanted.into_iter().map(|app| wanted_app(view, app)).collect();
    let left = view.current.engine.containers.iter().map(|container| container.app_id);
    let mut left: Vec<AppId> = left.filter(|id| !apps.iter().any(|app| app.id == *id)).collect();
    left.sort_unstable();
    left.dedup();
    apps.extend(left.into_iter().map(|id| present_app(view, id)));
    apps
}

/// Those of them that somebody may see.
pub(super) fn apps_of<'v>(view: &'v View, caller: &Caller) -> Vec<AppState<'v>> {
    let mut apps = apps(view);
    apps.retain(|app| caller.may_touch(app.id));
    apps
}

fn wanted_app<'a>(view: &'a View, app: &'a App) -> AppState<'a> {
    let release = app.release.as_ref();
    let mut services: Vec<ServiceState<'_>> = release
        .map(|release| release.services.values().map(|service| wanted_service(view, app, release, service)).collect())
        .unwrap_or_default();
    services.extend(services_to_go(view, app.id, &app.name, release));
    AppState {
        id: app.id,
        uuid: &app.uuid,
        name: app.name.clone(),
        wanted: release.map(|release| (release.commit.as_str(), release.id)),
        settled: view.memory.settled.get(&app.uuid).map(|settled| settled.commit.as_str()),
        services,
    }
}

/// An app that is not (or not readably) in the target and has containers.
fn present_app(view: &View, id: AppId) -> AppState<'_> {
    let refused = view.target.as_deref().and_then(|target| target.refused.iter().find(|(_, refused)| refused.id == Some(id)));
    let containers = || view.current.engine.containers.iter().filter(move |container| container.app_id == id);
    let labelled = || containers().find_map(|container| container.app_uuid.as_deref());
    let uuid = refused.map(|(uuid, _)| uuid.as_str()).or_else(labelled).unwrap_or_default();
    let name = refused.and_then(|(_, refused)| refused.name.clone()).unwrap_or_else(|| format!("app {id}"));
    AppState {
        id,
        uuid,
        wanted: None,
        settled: view.memory.settled.get(uuid).map(|settled| settled.commit.as_str()),
        services: services_to_go(view, id, &name, None),
        name,
    }
}

fn wanted_service<'a>(view: &'a View, app: &App, release: &Release, service: &'a Service) -> ServiceState<'a> {
    let of_service = |container: &&Container| container.app_id == app.id && container.service == service.name;
    let containers = || view.current.engine.containers.iter().filter(of_service);
    let of_release = |container: &&Container| match container.commit.as_str() {
        "" => container.release_id == Some(release.id),
        commit => commit == release.commit,
    };
    let current = containers().filter(of_release).max_by_key(|container| (!container.handing_over, container.created_ms));
    let fetching = view.doing.iter().find(|doing| fetches(doing, &service.image));
    ServiceState {
        name: &service.name,
        wanted: Some(service),
        container: current.or_else(|| containers().max_by_key(|container| (container.is_up(), container.created_ms))),
        is_of_container: current.is_some(),
        image_present: image(view, &service.image).is_some(),
        doing: fetching.or_else(|| doing_with(view, &app.name, &service.name)),
        status: reported(view, app, release, service),
    }
}

/// The status as the report to the cloud has it: one truth for both.
fn reported(view: &View, app: &App, release: &Release, service: &Service) -> ServiceStatus {
    let in_flight: Vec<InFlight<'_>> =
        view.doing.iter().map(|doing| InFlight { step: &doing.step, progress: doing.progress }).collect();
    let none = DeviceTarget::default();
    let target = view.target.as_deref().unwrap_or(&none);
    let picture =
        Picture { target, current: &view.current, memory: &view.memory, in_flight: &in_flight, rejected: &view.rejected };
    service_status(&picture, app, release, service)
}

/// Services that have containers and that `release` does not ask for.
fn services_to_go<'a>(view: &'a View, id: AppId, app: &str, release: Option<&Release>) -> Vec<ServiceState<'a>> {
    let unwanted = |c: &&Container| c.app_id == id && !release.is_some_and(|release| release.services.contains_key(&c.service));
    let mut containers: Vec<&Container> = view.current.engine.containers.iter().filter(unwanted).collect();
    containers.sort_by(|a, b| (&a.service, -a.created_ms).cmp(&(&b.service, -b.created_ms)));
    containers.dedup_by(|later, first| later.service == first.service);
    let state = |container: &'a Container| {
        let doing = doing_with(view, app, &container.service);
        let stops = doing.is_some_and(|d| matches!(d.step.action, Action::Stop { .. } | Action::Kill { .. }));
        ServiceState {
            name: &container.service,
            wanted: None,
            container: Some(container),
            is_of_container: true,
            image_present: true,
            doing,
            status: if stops { ServiceStatus::Stopping } else { ServiceStatus::at_rest(container.state) },
        }
    };
    containers.into_iter().map(state).collect()
}

/// The engine's image for a reference (protocol §11): by what was recorded, by digest, by tag.
pub(super) fn image<'a>(view: &'a View, wanted: &ImageRef) -> Option<&'a Image> {
    let images = &view.current.engine.images;
    let recorded = view.memory.images.values().find(|record| record.image.same_image(wanted));
    let by_record = recorded.and_then(|record| images.iter().find(|image| image.id == record.engine_id));
    by_record.or_else(|| match &wanted.digest {
        Some(digest) => images.iter().find(|image| image.digests.iter().any(|d| d.rsplit('@').next() == Some(digest))),
        None => images.iter().find(|image| image.tags.contains(&wanted.to_string())),
    })
}

/// Whether a step downloads this image, for this service or another one.
fn fetches(doing: &Doing, wanted: &ImageRef) -> bool {
    matches!(&doing.step.action, Action::Fetch { image, .. } if image.same_image(wanted))
}

/// A step other than a download that works on a service now.
fn doing_with<'a>(view: &'a View, app: &str, service: &str) -> Option<&'a Doing> {
    let mut doing = view.doing.iter().filter(|doing| !matches!(doing.step.action, Action::Fetch { .. }));
    doing.find(|doing| doing.step.app.as_deref() == Some(app) && doing.step.service.as_deref() == Some(service))
}
