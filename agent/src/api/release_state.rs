//! Apps and services of the loop's picture in the protocol's words (protocol §6.3): what versions 1 to 3 all draw on.

use holdfast_plan::current::{Container, ContainerState, Image};
use holdfast_plan::plan::Action;
use holdfast_plan::target::{App, AppClass, AppId, ImageRef, Release, Service};

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
    /// Whether the engine has the wanted image.
    pub image_present: bool,
    /// A step that works on it now.
    pub doing: Option<&'a Doing>,
    /// `Downloading`, `Running`, …
    pub status: &'static str,
    /// Percent, while downloading.
    pub progress: Option<u8>,
}

impl AppState<'_> {
    /// How far the wanted release is: the least advanced of its services (protocol §6.3).
    pub fn update_status(&self) -> &'static str {
        let rank = |service: &ServiceState<'_>| match (service.status, service.progress) {
            ("Aborted", _) => 0,
            (_, Some(0..100)) => 1,
            ("Downloaded", _) => 2,
            ("Installing" | "Installed" | "Awaiting handover", _) => 3,
            _ => 4,
        };
        let least = self.services.iter().filter(|service| service.wanted.is_some()).map(rank).min().unwrap_or(4);
        ["aborted", "downloading", "downloaded", "applying changes", "done"][least]
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
    let current = containers().filter(of_release).max_by_key(|container| container.created_ms);
    let container = current.or_else(|| containers().max_by_key(|container| (container.is_up(), container.created_ms)));
    let image_present = image(view, &service.image).is_some();
    let fetching = view.doing.iter().find(|doing| fetches(doing, &service.image));
    let doing = fetching.or_else(|| doing_with(view, &app.name, &service.name));
    let (status, progress) = match (fetching, doing.and_then(volatile_status), current) {
        (Some(fetching), _, _) => ("Downloading", Some(fetching.progress.unwrap_or(0))),
        (None, Some(status), _) => (status, None),
        (None, None, Some(container)) => (status_of(container.state), None),
        (None, None, None) if image_present => ("Downloaded", None),
        (None, None, None) => ("Downloading", Some(0)),
    };
    ServiceState { name: &service.name, wanted: Some(service), container, image_present, doing, status, progress }
}

/// Services that have containers and that `release` does not ask for.
fn services_to_go<'a>(view: &'a View, id: AppId, app: &str, release: Option<&Release>) -> Vec<ServiceState<'a>> {
    let unwanted = |c: &&Container| c.app_id == id && !release.is_some_and(|release| release.services.contains_key(&c.service));
    let mut containers: Vec<&Container> = view.current.engine.containers.iter().filter(unwanted).collect();
    containers.sort_by(|a, b| (&a.service, -a.created_ms).cmp(&(&b.service, -b.created_ms)));
    containers.dedup_by(|later, first| later.service == first.service);
    let state = |container: &'a Container| {
        let doing = doing_with(view, app, &container.service);
        let status = doing.and_then(volatile_status).unwrap_or(status_of(container.state));
        let name = &container.service;
        ServiceState { name, wanted: None, container: Some(container), image_present: true, doing, status, progress: None }
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

/// The status a service has while a step works on it.
fn volatile_status(doing: &Doing) -> Option<&'static str> {
    match doing.step.action {
        Action::Create { .. } => Some("Installing"),
        Action::Start { .. } => Some("Starting"),
        Action::Stop { .. } | Action::Kill { .. } => Some("Stopping"),
        _ => None,
    }
}

/// The protocol's word for a container's state.
pub(super) fn status_of(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "Installed",
        ContainerState::Running => "Running",
        ContainerState::Paused => "paused",
        ContainerState::Restarting => "restarting",
        ContainerState::Removing => "removing",
        ContainerState::Exited => "exited",
        ContainerState::Dead => "Dead",
    }
}
