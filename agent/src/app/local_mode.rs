//! Which target is in force: the cloud's, or in local mode the one that was set on the device (behaviour §13).
//!
//! The device's own takes the place of the fleet's apps; device variables and apps that are not the fleet's stay the cloud's,
//! so that the cloud can end local mode. Until one is set the fleet's go on. When local mode ends, the device's own is
//! forgotten.

use std::sync::Arc;

use holdfast_plan::target::{AppClass, DeviceTarget, parse};
use tokio::sync::{mpsc, watch};

use crate::api::LocalTarget;
use crate::policy::{LOCAL_MODE, truthy, variable};
use crate::reconcile::{Request, TargetInForce};
use crate::store::{Change, LOCAL_SOURCE, Store, StoredTarget};

/// The targets there are.
pub(super) struct Targets {
    cloud: Option<TargetInForce>,
    local: Option<Arc<DeviceTarget>>,
    /// Whether there is a cloud.
    managed: bool,
    uuid: String,
    store: Arc<dyn Store>,
}

impl Targets {
    /// Takes what was stored for the device's `source`, and reads what was set on the device.
    pub async fn load(stored: Option<TargetInForce>, source: &str, uuid: &str, store: Arc<dyn Store>) -> Targets {
        let managed = source != LOCAL_SOURCE;
        let mut targets = Targets { cloud: None, local: None, managed, uuid: uuid.to_owned(), store };
        if !managed {
            targets.local = stored.map(|stored| stored.target);
            return targets;
        }
        targets.cloud = stored;
        match targets.store.load(LOCAL_SOURCE, uuid).await {
            Ok(loaded) => targets.local = loaded.target.and_then(|stored| read(&stored.body, uuid)).map(Arc::new),
            Err(error) => log::error!("the device's own target cannot be read, the cloud's stays in force: {error}"),
        }
        targets.forget_if_over().await;
        targets
    }

    /// The cloud's own.
    pub fn of_cloud(&self) -> Option<&DeviceTarget> {
        self.cloud.as_ref().map(|cloud| &*cloud.target)
    }

    fn in_local_mode(&self) -> bool {
        self.of_cloud().is_some_and(|target| variable(&target.config, LOCAL_MODE).is_some_and(truthy))
    }

    /// The target in force.
    pub fn in_force(&self) -> Option<TargetInForce> {
        let own = |target| TargetInForce { target, source: LOCAL_SOURCE.to_owned() };
        match (&self.cloud, &self.local) {
            (Some(cloud), Some(local)) if self.in_local_mode() => Some(own(Arc::new(merged(&cloud.target, local)))),
            (None, Some(local)) if !self.managed => Some(own(local.clone())),
            (cloud, _) => cloud.clone(),
        }
    }

    /// A new target of the cloud's.
    pub async fn take_clouds(&mut self, target: TargetInForce) {
        self.cloud = Some(target);
        self.forget_if_over().await;
    }

    /// A new target of the device's own, once it is stored.
    async fn take_own(&mut self, target: Arc<DeviceTarget>, body: String) -> Result<(), String> {
        if self.managed && !self.in_local_mode() {
            return Err("local mode has just ended; nothing is changed".into());
        }
        let stored = StoredTarget { source: LOCAL_SOURCE.to_owned(), uuid: self.uuid.clone(), etag: None, body };
        self.store.commit(vec![Change::Target(stored)]).await.map_err(|error| error.to_string())?;
        log::info!("new target set on the device: {} app(s)", target.apps.len());
        self.local = Some(target);
        Ok(())
    }

    /// Local mode is over: the device's own target must not come back with the next one.
    async fn forget_if_over(&mut self) {
        if self.local.is_none() || !self.managed || self.cloud.is_none() || self.in_local_mode() {
            return;
        }
        self.local = None;
        log::info!("local mode is over: the cloud's target is in force again");
        if let Err(error) = self.store.commit(vec![Change::DropTarget { source: LOCAL_SOURCE.to_owned() }]).await {
            log::error!("the device's own target cannot be forgotten, that is tried at the next start: {error}");
        }
    }
}

/// The device's own apps beside those of the cloud's that are not the fleet's.
fn merged(cloud: &DeviceTarget, local: &DeviceTarget) -> DeviceTarget {
    let mut apps = local.apps.clone();
    let taken = |id| local.apps.values().any(|app| app.id == id);
    let others = cloud.apps.iter().filter(|(_, app)| app.class != AppClass::Fleet || app.is_host);
    apps.extend(others.filter(|(_, app)| app.is_host || !taken(app.id)).map(|(uuid, app)| (uuid.clone(), app.clone())));
    DeviceTarget { name: cloud.name.clone(), config: cloud.config.clone(), apps, refused: cloud.refused.clone() }
}

fn read(body: &str, uuid: &str) -> Option<DeviceTarget> {
    let document = serde_json::from_str(body).map_err(|error| error.to_string());
    match document.and_then(|document| parse(&document, uuid).map_err(|error| error.to_string())) {
        Ok(target) => Some(target),
        Err(error) => {
            log::error!("the target set on the device cannot be read any more, the cloud's stays in force: {error}");
            None
        }
    }
}

/// Where targets of the device's own come from, and where they go.
pub(super) struct LocalLinks {
    pub arrived: mpsc::Receiver<LocalTarget>,
    pub requests: mpsc::Sender<Request>,
    pub target: watch::Sender<Option<TargetInForce>>,
}

impl LocalLinks {
    /// Stores a target and brings it into force.
    pub async fn set(&self, targets: &mut Targets, set: LocalTarget) {
        let LocalTarget { body, target, force, reply } = set;
        let outcome = targets.take_own(target, body).await;
        if outcome.is_ok() {
            self.target.send_replace(targets.in_force());
            if force {
                // A loop that is gone needs no force.
                let _ = self.requests.send(Request::Look { from: "local API".into(), force, cancel: false }).await;
            }
        }
        // Whoever asked may have gone away.
        let _ = reply.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::InlineStore;

    fn target(mode: &str, apps: &[(u64, &str)]) -> Arc<DeviceTarget> {
        let app =
            |(id, class): &(u64, &str)| (format!("app{id}"), json!({ "id": id, "name": "a", "class": class, "releases": {} }));
        let apps: serde_json::Map<_, _> = apps.iter().map(app).collect();
        let config = json!({ "BALENA_SUPERVISOR_LOCAL_MODE": mode });
        Arc::new(parse(&json!({ "u": { "name": "d", "config": config, "apps": apps } }), "u").unwrap())
    }

    fn in_force(targets: &Targets) -> (Vec<u64>, String) {
        let now = targets.in_force().unwrap();
        (now.target.apps.values().map(|app| app.id).collect(), now.source)
    }

    #[tokio::test]
    async fn local_mode_begins_with_a_target_and_ends_with_the_variable() {
        let store = Arc::new(InlineStore::new());
        let cloud = |mode: &str| TargetInForce { target: target(mode, &[(5, "fleet"), (6, "app")]), source: "cloud".into() };
        let mut targets = Targets::load(Some(cloud("0")), "cloud", "u", store.clone()).await;
        let own = target("0", &[(1, "fleet")]);
        let body = json!({ "u": { "name": "d", "config": {}, "apps": { "app1": { "id": 1, "name": "a", "class": "fleet", "releases": {} } } } });
        assert!(targets.take_own(own.clone(), body.to_string()).await.is_err(), "not in local mode");
        targets.take_clouds(cloud("1")).await;
        assert_eq!(in_force(&targets), (vec![5, 6], "cloud".into()), "until one is set the cloud's goes on");
        targets.take_own(own, body.to_string()).await.unwrap();
        assert_eq!(in_force(&targets), (vec![1, 6], "local".into()));
        let config = targets.in_force().unwrap().target.config.clone();
        assert_eq!(config.get("BALENA_SUPERVISOR_LOCAL_MODE").map(String::as_str), Some("1"), "variables stay the cloud's");
        // An agent that starts anew finds it.
        let again = Targets::load(Some(cloud("1")), "cloud", "u", store.clone()).await;
        assert_eq!(in_force(&again), (vec![1, 6], "local".into()));
        targets.take_clouds(cloud("0")).await;
        assert_eq!(in_force(&targets), (vec![5, 6], "cloud".into()));
        targets.take_clouds(cloud("1")).await;
        assert_eq!(in_force(&targets), (vec![5, 6], "cloud".into()), "it is forgotten");
        assert!(store.load(LOCAL_SOURCE, "u").await.unwrap().target.is_none());
    }

    #[tokio::test]
    async fn without_a_cloud_the_devices_own_is_the_only_one() {
        let mut targets = Targets::load(None, LOCAL_SOURCE, "u", Arc::new(InlineStore::new())).await;
        assert!(targets.in_force().is_none());
        targets.take_own(target("0", &[(1, "fleet")]), "{}".into()).await.unwrap();
        assert_eq!(in_force(&targets), (vec![1], "local".into()));
    }
}
