//! The apps of a status: what runs and is wanted of each, what is done, what is waited for, what is refused.

use serde::Serialize;

use super::super::moment::{Ago, Ahead};
use super::super::reading::read_by_field;

/// One app.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AppRow {
    /// Name.
    pub name: String,
    /// Uuid; empty where nothing tells it.
    pub uuid: String,
    /// Numeric id.
    pub id: u64,
    /// Commit of the wanted release; `None` for an app that is to have none.
    pub wanted_commit: Option<String>,
    /// Commit of the release that last ran entirely.
    pub settled_commit: Option<String>,
    /// How far the wanted release is, in the protocol's words.
    pub update_status: Option<String>,
    /// Its services.
    pub services: Vec<ServiceRow>,
}

read_by_field!(AppRow { name, uuid, id, wanted_commit, settled_commit, update_status, services });

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceRow {
    /// Name.
    pub name: String,
    /// The wanted image, else that of its container.
    pub image: String,
    /// Whether the engine has the wanted image.
    pub image_present: bool,
    /// Commit of the wanted release; `None` for a service that is to go.
    pub wanted_commit: Option<String>,
    /// Commit its container was made for.
    pub running_commit: Option<String>,
    /// Engine id of its container.
    pub container: Option<String>,
    /// Name of its container.
    pub container_name: Option<String>,
    /// The engine's word for its container's state.
    pub state: Option<String>,
    /// The protocol's word for the service's state.
    pub status: String,
    /// Verdict of its health check.
    pub health: Option<String>,
    /// Exit code, when it has ended.
    pub exit_code: Option<i64>,
    /// How often the engine started it again.
    pub restarts: i64,
    /// When it was last started.
    pub started: Option<Ago>,
    /// What is being done with it.
    pub doing: Option<String>,
    /// Percent, while its image is downloaded.
    pub progress: Option<u8>,
    /// What it waits for.
    pub waiting: Option<String>,
}

read_by_field!(ServiceRow {
    name,
    image,
    image_present,
    wanted_commit,
    running_commit,
    container,
    container_name,
    state,
    status,
    health,
    exit_code,
    restarts,
    started,
    doing,
    progress,
    waiting
});

/// A step that is being carried out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoingRow {
    /// The step in one word, for example `fetch`.
    #[serde(rename = "do")]
    pub action: String,
    /// The step as a sentence.
    pub text: String,
    /// Why.
    pub why: String,
    /// App.
    pub app: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// Since when.
    pub since: Ago,
    /// Percent, for a download.
    pub progress: Option<u8>,
}

read_by_field!(DoingRow { action = "do", text, why, app, service, since, progress });

/// Something that is not done now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WaitRow {
    /// App.
    pub app: String,
    /// Service, where it is about one.
    pub service: Option<String>,
    /// The reason in one word, for example `waiting-for-lock`.
    pub reason: String,
    /// The reason as a sentence.
    pub text: String,
    /// Since when, where it is known.
    pub since: Option<Ago>,
    /// When it is tried again or ends by itself, where it is known.
    pub until: Option<Ahead>,
}

read_by_field!(WaitRow { app, service, reason, text, since, until });

/// An app whose part of the target is refused; its running release is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefusedRow {
    /// Name, else the uuid.
    pub app: String,
    /// Uuid.
    pub uuid: String,
    /// The refused release.
    pub commit: Option<String>,
    /// Every broken rule.
    pub offences: Vec<OffenceRow>,
}

read_by_field!(RefusedRow { app, uuid, commit, offences });

/// A place in the target and what is wrong there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OffenceRow {
    /// JSON path.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

read_by_field!(OffenceRow { path, message });

/// Something the target asks for and the agent does not do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnsupportedRow {
    /// App.
    pub app: String,
    /// Service; `None` for what the release's networks and volumes ask for.
    pub service: Option<String>,
    /// JSON path.
    pub path: String,
    /// Why.
    pub message: String,
}

read_by_field!(UnsupportedRow { app, service, path, message });
