//! Lock files of the host in memory, with their owners.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_plan::current::{LockHolder, Locks, ServiceLock};
use holdfast_plan::target::AppId;

use crate::host::{BrokenLock, HostError};

/// Both names a lock has (behaviour §6).
pub const LOCK_FILES: [&str; 2] = ["updates.lock", "resin-updates.lock"];

/// Lock files of every service.
pub(super) type Held = BTreeMap<(AppId, String), Files>;

/// Services whose new container ended a hand-over.
pub(super) type Markers = BTreeSet<(AppId, String)>;

/// Lock files of one service by name.
pub(super) type Files = BTreeMap<&'static str, Owner>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Agent,
    Application { since_ms: Option<i64> },
}

pub(super) fn path(app: AppId, service: &str, file: &str) -> String {
    format!("/tmp/balena-supervisor/services/{app}/{service}/{file}")
}

fn holder(files: &Files) -> Option<LockHolder> {
    let application = files.iter().find_map(|(file, owner)| match owner {
        Owner::Application { since_ms } => Some(LockHolder::Application { file: (*file).to_owned(), since_ms: *since_ms }),
        Owner::Agent => None,
    });
    application.or_else(|| (!files.is_empty()).then(|| LockHolder::Agent { complete: files.len() == LOCK_FILES.len() }))
}

pub(super) fn locks_of(held: &Held, markers: &Markers) -> Locks {
    let mut locks = Locks::default();
    for ((app, service), files) in held {
        if let Some(holder) = holder(files) {
            locks.held.entry(*app).or_default().insert(service.clone(), ServiceLock { holder });
        }
    }
    for (app, service) in markers {
        locks.handed_over.entry(*app).or_default().insert(service.clone());
    }
    locks
}

/// All or none: with the application's lock on one service and no force, nothing changes.
pub(super) fn take(held: &mut Held, app: AppId, services: &BTreeSet<String>, force: bool) -> Result<Vec<BrokenLock>, HostError> {
    let mut broken = Vec::new();
    for service in services {
        let files = held.get(&(app, service.clone()));
        for (file, owner) in files.into_iter().flatten() {
            if *owner != Owner::Agent {
                broken.push(BrokenLock { service: service.clone(), file: (*file).to_owned() });
            }
        }
    }
    if let Some(first) = broken.first().filter(|_| !force) {
        return Err(HostError::LockHeld { app_id: app, service: first.service.clone() });
    }
    for service in services {
        held.insert((app, service.clone()), LOCK_FILES.map(|file| (file, Owner::Agent)).into());
    }
    Ok(broken)
}

pub(super) fn release(held: &mut Held, app: AppId, services: &BTreeSet<String>) {
    for service in services {
        if let Some(files) = held.get_mut(&(app, service.clone())) {
            files.retain(|_, owner| *owner != Owner::Agent);
        }
    }
    held.retain(|_, files| !files.is_empty());
}
