//! Applications and their releases.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{AppId, AppUuid, NetworkSpec, Offence, Service, VolumeSpec};

/// What kind of application this is (protocol §3.3, `class`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppClass {
    /// The fleet's own application.
    #[default]
    Fleet,
    /// An application beside the fleet's.
    App,
    /// A block.
    Block,
}

/// One application of the target.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct App {
    /// Numeric id.
    pub id: AppId,
    /// Uuid.
    pub uuid: AppUuid,
    /// Name; shown to people and given to containers when they are created.
    pub name: String,
    /// Class.
    pub class: AppClass,
    /// Whether this is the host OS's application, which is not the agent's to manage (behaviour §12).
    pub is_host: bool,
    /// This app's part of the document, kept with a settled release so that it can be restored.
    #[serde(skip)]
    pub document: std::sync::Arc<serde_json::Value>,
    /// Tells two documents apart cheaply.
    #[serde(skip)]
    pub fingerprint: String,
    /// The wanted release; `None` means that every service of the app is removed.
    pub release: Option<Release>,
}

impl fmt::Debug for App {
    /// Without the document, which holds the values of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Field by field, so that a new one is thought about before it is shown.
        let App { id, uuid, name, class, is_host, document: _, fingerprint, release } = self;
        let mut app = f.debug_struct("App");
        app.field("id", id).field("uuid", uuid).field("name", name).field("class", class).field("is_host", is_host);
        app.field("fingerprint", fingerprint).field("release", release).finish_non_exhaustive()
    }
}

impl App {
    /// Whether it is the agent's to run: host apps are the OS's business (behaviour §12).
    pub fn is_managed(&self) -> bool {
        !self.is_host
    }
}

/// One release: a set of services with their networks and volumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Release {
    /// The commit, which names the release everywhere.
    pub commit: String,
    /// Numeric id; part of container names.
    pub id: u64,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Networks by their name in the release. Always holds `default` (behaviour §3.1).
    pub networks: BTreeMap<String, NetworkSpec>,
    /// Volumes by their name in the release.
    pub volumes: BTreeMap<String, VolumeSpec>,
    /// What the definitions of networks and volumes ask for and the agent does not do: path and why. That of services
    /// stands in [`Service::unsupported`].
    pub unsupported: Vec<Offence>,
}
