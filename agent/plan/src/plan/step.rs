//! The steps a plan is made of. They leave the executor nothing to decide.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Reason;
use crate::boot::Changes;
use crate::container::{ContainerSpec, RestartPolicy};
use crate::current::Container;
use crate::memory::Remember;
use crate::policy::Force;
use crate::target::{AppId, ImageRef, NetworkSpec, VolumeSpec};

/// A container that is there: the id is acted on, the name is for people and tells steps on one container apart from
/// those on another, also while it is being made and has no known id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Engine id.
    pub id: String,
    /// Name in the engine.
    pub name: String,
    /// App it belongs to.
    #[serde(skip)]
    pub app_id: AppId,
    /// Service it belongs to.
    #[serde(skip)]
    pub service: String,
}

impl Named {
    /// Names a present container.
    pub fn of(container: &Container) -> Named {
        Named {
            id: container.id.clone(),
            name: container.spec.name.clone(),
            app_id: container.app_id,
            service: container.service.clone(),
        }
    }
}

/// How the keys of all steps on update locks begin.
pub(super) const LOCK_KEY: &str = "locks of app ";

/// How the keys of steps that take a container away go on where those of other steps on it end.
pub(super) const AWAY: &str = " away";

/// How the keys of all steps on containers of one app begin.
pub(super) fn app_place(app: AppId) -> String {
    format!("container {app}/")
}

/// How the keys of all steps on containers of one service begin.
pub(super) fn service_place(app: AppId, service: &str) -> String {
    format!("{}{service} ", app_place(app))
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Pull an image and record it.
    Fetch {
        /// Which.
        image: ImageRef,
        /// App and service it is recorded under.
        app_uuid: String,
        /// Service.
        service: String,
    },
    /// Record an image that the engine has already.
    AdoptImage {
        /// The record to write.
        record: crate::memory::ImageRecord,
    },
    /// Remove an image the agent once pulled: its tags, then its digests, then its record.
    RemoveImage {
        /// Its reference.
        image: ImageRef,
    },
    /// Remove an image that has neither a tag nor a digest and that nothing uses.
    RemoveDangling {
        /// Engine id.
        id: String,
    },
    /// Make a network.
    CreateNetwork {
        /// Name in the engine.
        name: String,
        /// How.
        network: NetworkSpec,
        /// App it belongs to.
        app_id: AppId,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Name in the engine, for people.
        name: String,
        /// Engine id.
        id: String,
    },
    /// Make a volume.
    CreateVolume {
        /// Name in the engine.
        name: String,
        /// How.
        volume: VolumeSpec,
        /// Uuid of the app it belongs to.
        app_uuid: String,
    },
    /// Remove a volume and the data in it.
    RemoveVolume {
        /// Name in the engine.
        name: String,
    },
    /// Take the update locks of services of one app: all or none.
    TakeLock {
        /// App.
        app_id: AppId,
        /// Services.
        services: BTreeSet<String>,
        /// Break the application's locks, and who asked.
        force: Option<Force>,
    },
    /// Give back the agent's own locks of an app; the application's are never touched.
    ReleaseLock {
        /// App.
        app_id: AppId,
        /// Services.
        services: BTreeSet<String>,
    },
    /// Make a container and, unless `start` is false, start it.
    Create {
        /// How.
        spec: Box<ContainerSpec>,
        /// Start it at once.
        start: bool,
    },
    /// Start a container that is there.
    Start {
        /// Which.
        container: Named,
    },
    /// Stop a container and keep it.
    Stop {
        /// Which.
        container: Named,
    },
    /// Stop a container and remove it with its anonymous volumes.
    Kill {
        /// Which.
        container: Named,
    },
    /// Give a container another name.
    Rename {
        /// Which.
        container: Named,
        /// New name.
        name: String,
    },
    /// Change a container's restart policy.
    SetRestartPolicy {
        /// Which.
        container: Named,
        /// New policy.
        policy: RestartPolicy,
    },
    /// Remove the marker files of an earlier hand-over (behaviour §7).
    ClearMarker {
        /// App.
        app_id: AppId,
        /// Service.
        service: String,
    },
    /// Change the boot configuration; the device has to start again for it.
    WriteBootConfig {
        /// Which back-end.
        back_end: String,
        /// Keys to set or remove.
        changes: Changes,
        /// The changes in one line, left as the reason to restart.
        why: String,
    },
    /// Leave a mark that the device has to start again.
    RequireReboot {
        /// Why, in one line.
        why: String,
    },
    /// Restart the device. Every app's locks are the agent's.
    Reboot,
    /// Write to memory.
    Remember {
        /// What.
        change: Remember,
    },
}

/// One step: what is done, to whom, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Name of the app it belongs to, for people.
    pub app: Option<String>,
    /// Service it belongs to.
    pub service: Option<String>,
    /// Why.
    pub why: Reason,
}

impl Step {
    /// Names the object the step works on: two steps with one key never run at the same time, and failures of a step are
    /// remembered under it. Taking a container away has a key of its own, beginning like that of the others: what could not
    /// be started goes at once when it has to go.
    pub fn key(&self) -> String {
        match &self.action {
            // One content is downloaded once, under however many names it is asked for.
            Action::Fetch { image, .. } => match &image.digest {
                Some(digest) => format!("fetch {digest}"),
                None => format!("fetch {image}"),
            },
            Action::AdoptImage { record } => format!("image {}", record.image),
            Action::RemoveImage { image } => format!("image {image}"),
            Action::RemoveDangling { id } => format!("image {id}"),
            Action::CreateNetwork { name, .. } | Action::RemoveNetwork { name, .. } => format!("network {name}"),
            Action::CreateVolume { name, .. } | Action::RemoveVolume { name } => format!("volume {name}"),
            Action::TakeLock { app_id, .. } | Action::ReleaseLock { app_id, .. } => format!("{LOCK_KEY}{app_id}"),
            // A step on one container of a service keeps those on all others of it waiting: see `place`.
            Action::Create { spec, .. } => format!("{}{}", spec_place(spec), spec.name),
            Action::Start { container } | Action::Rename { container, .. } | Action::SetRestartPolicy { container, .. } => {
                format!("{}{}", service_place(container.app_id, &container.service), container.name)
            }
            Action::Stop { container } | Action::Kill { container } => {
                format!("{}{}{AWAY}", service_place(container.app_id, &container.service), container.name)
            }
            Action::ClearMarker { app_id, service } => format!("marker of {app_id}/{service}"),
            Action::WriteBootConfig { back_end, .. } => format!("boot configuration {back_end}"),
            Action::RequireReboot { .. } => "mark of a needed restart".to_owned(),
            Action::Reboot => "restart of the device".to_owned(),
            Action::Remember { change } => match change {
                Remember::BeginTrial { app_uuid, .. }
                | Remember::Reject { app_uuid, .. }
                | Remember::ForgetRejected { app_uuid }
                | Remember::Settle { app_uuid, .. }
                | Remember::Unsettle { app_uuid } => format!("settled release of {app_uuid}"),
                Remember::Depart { app_id, .. } | Remember::ForgetDeparture { app_id } => format!("departure of app {app_id}"),
                Remember::Image(record) => format!("image {}", record.image),
                Remember::ForgetImage { image } => format!("image {image}"),
                Remember::Stop { app_id, service, .. } => format!("stop of {app_id}/{service}"),
                Remember::BootKeys { .. } => "record of boot configuration keys".to_owned(),
                Remember::Reboot { .. } => "record of the restart".to_owned(),
                Remember::Order { app_id, .. } => format!("order on app {app_id}"),
                Remember::Held { container, .. } => format!("hold of container {container}"),
            },
        }
    }

    /// What the step must have for itself beyond its own object: the containers of one service. While a step on one of them
    /// is on its way, a plan made for another target must not add a second container beside it: under the name of another
    /// release its key would be another. Within a plan, what takes a name or a port comes after what gives it up.
    pub fn place(&self) -> Option<String> {
        match &self.action {
            Action::Create { spec, .. } => Some(spec_place(spec)),
            Action::Start { container }
            | Action::Stop { container }
            | Action::Kill { container }
            | Action::Rename { container, .. }
            | Action::SetRestartPolicy { container, .. } => Some(service_place(container.app_id, &container.service)),
            _ => None,
        }
    }
}

fn spec_place(spec: &ContainerSpec) -> String {
    let label = |name: &str| spec.labels.get(name).map(String::as_str).unwrap_or_default();
    service_place(label("io.balena.app-id").parse().unwrap_or_default(), label("io.balena.service-name"))
}
