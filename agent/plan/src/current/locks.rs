//! Update locks as observed in one round (behaviour §6).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::target::AppId;

/// Who made a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "holder")]
pub enum LockHolder {
    /// The application: the service must not be stopped.
    Application {
        /// File name, `updates.lock` or `resin-updates.lock`.
        file: String,
        /// Modification time of the file, ms since 1970, where readable.
        since_ms: Option<i64>,
    },
    /// The agent, this run or an earlier one.
    Agent {
        /// Whether both files are there; after a crash one may be missing.
        complete: bool,
    },
}

/// The lock of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceLock {
    /// Who holds it.
    #[serde(flatten)]
    pub holder: LockHolder,
}

/// All locks that exist, by app and service. A service without an entry is not locked by anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Locks {
    /// The locks.
    pub held: BTreeMap<AppId, BTreeMap<String, ServiceLock>>,
    /// Services whose new container said that the old one may go (`handover-complete` or `resin-kill-me`, behaviour §7).
    pub handed_over: BTreeMap<AppId, BTreeSet<String>>,
}

impl Locks {
    /// Who holds the lock of a service.
    pub fn holder(&self, app: AppId, service: &str) -> Option<&LockHolder> {
        self.held.get(&app)?.get(service).map(|lock| &lock.holder)
    }

    /// Whether the marker that ends a hand-over is there.
    pub fn marker(&self, app: AppId, service: &str) -> bool {
        self.handed_over.get(&app).is_some_and(|services| services.contains(service))
    }

    /// Whether the agent holds the complete lock of every one of these services.
    pub fn all_ours<'a>(&self, app: AppId, services: impl IntoIterator<Item = &'a str>) -> bool {
        services.into_iter().all(|service| matches!(self.holder(app, service), Some(LockHolder::Agent { complete: true })))
    }

    /// The first service of the app whose lock the application holds.
    pub fn application_lock(&self, app: AppId) -> Option<(&str, &str, Option<i64>)> {
        self.held.get(&app)?.iter().find_map(|(service, lock)| match &lock.holder {
            LockHolder::Application { file, since_ms } => Some((service.as_str(), file.as_str(), *since_ms)),
            LockHolder::Agent { .. } => None,
        })
    }
}
