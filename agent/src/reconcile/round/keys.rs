//! Keys of the local API: those that are missing are made before planning, one that is asked for anew at once.

use std::sync::Arc;

use holdfast_plan::current::Current;
use holdfast_plan::target::DeviceTarget;

use super::super::keys;
use super::Reconciler;
use crate::events::Level;
use crate::store::{Change, KeyOwner};

impl Reconciler {
    pub(super) async fn provide_keys(&mut self, target: &DeviceTarget, current: &Current) {
        let new = keys::missing(target, &current.engine, &self.keyring, keys::generate);
        if !new.is_empty() {
            self.store_keys(new).await;
        }
    }

    /// Drops the keys of services that left for good, once the device is at its target: until then they may be needed to go back.
    /// A service that comes back gets a new one with its new container.
    pub(super) async fn drop_keys(&mut self, target: &DeviceTarget, current: &Current) {
        let gone = keys::departed(target, &current.engine, &self.keyring);
        if gone.is_empty() {
            return;
        }
        let changes = gone.iter().flat_map(|owner| [Change::DropKey { owner: owner.clone() }, keys::made_at(owner, None)]);
        if self.commit(changes.collect()).await {
            let ring = Arc::make_mut(&mut self.keyring);
            for owner in gone {
                log::info!("the {} is dropped: the service is gone", keys::whose(&owner));
                ring.take_out(&owner);
            }
        }
    }

    /// Makes a new key in the place of one that is there. A service gets it with a new container, which the next plan makes.
    pub(super) async fn renew_key(&mut self, owner: KeyOwner, from: &str) -> Result<String, String> {
        let whose = keys::whose(&owner);
        if self.keyring.get(&owner).is_none() {
            return Err(format!("there is no {whose}"));
        }
        let key = keys::generate().ok_or_else(|| format!("the {whose} stays: the machine gives no random numbers"))?;
        if !self.store_keys(vec![(owner.clone(), key.clone())]).await {
            let why = self.store_error.as_deref().unwrap_or("the database does not take it");
            return Err(format!("the {whose} stays as it is: {why}"));
        }
        // Whoever comes with the old one is refused from now on, not from the next round on.
        self.publish_progress();
        let next = if owner.is_some() { "; the service's container is made anew with it" } else { "" };
        let wall_ms = self.tools.clock.now().wall_ms;
        self.announcer.say(Level::Info, None, None, format!("the {whose} is a new one, asked for by the {from}{next}"), wall_ms);
        Ok(key)
    }

    async fn store_keys(&mut self, new: Vec<(KeyOwner, String)>) -> bool {
        let wall_ms = self.tools.clock.now().wall_ms;
        let changes = new.iter().flat_map(|(owner, key)| {
            let key = Change::ApiKey { owner: owner.clone(), key: key.clone() };
            [key, keys::made_at(owner, wall_ms)]
        });
        if !self.commit(changes.collect()).await {
            return false;
        }
        let ring = Arc::make_mut(&mut self.keyring);
        new.into_iter().for_each(|(owner, key)| ring.put(owner, key, wall_ms));
        self.last.keys = self.keyring.clone();
        true
    }
}
