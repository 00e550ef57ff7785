//! What is wanted: the target state of this device (protocol §3).

mod app;
mod compose;
mod document;
mod image;
mod network;
mod offence;
mod reading;
mod service;
mod volume;

pub(crate) use compose::labels::renamed as renamed_labels;

pub use app::{App, AppClass, Release};
pub use document::{app_from_document, parse};
pub use image::ImageRef;
pub use network::{IpamPool, NetworkSpec};
pub use offence::{Offence, RefusedApp, TargetError};
pub use service::{Condition, Dependency, MountSource, NetworkChoice, Service, ServiceMount, ServiceNetwork, Strategy};
pub use volume::VolumeSpec;

use std::collections::BTreeMap;

use serde::Serialize;

/// The numeric id of an application in the cloud; part of volume names and lock paths.
pub type AppId = u64;

/// The uuid of an application; part of network names and the key of an app in a target.
pub type AppUuid = String;

/// One device's target, after validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceTarget {
    /// The device's name, given to containers when they are created.
    pub name: String,
    /// Device configuration variables as the cloud sent them, prefixes included.
    pub config: BTreeMap<String, String>,
    /// The applications that passed validation.
    pub apps: BTreeMap<AppUuid, App>,
    /// The applications that did not: their running release is left as it is, the others go on.
    pub refused: BTreeMap<AppUuid, RefusedApp>,
}

impl DeviceTarget {
    /// The app of this number, if it passed validation.
    pub fn app(&self, id: AppId) -> Option<&App> {
        self.apps.values().find(|app| app.id == id)
    }
}
