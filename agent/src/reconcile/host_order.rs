//! What is asked of the host through the local API: restart, shutdown, name, proxy. It interrupts every app, so it takes the
//! locks of all of them first, all or none (behaviour §6).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_plan::current::{LockHolder, Locks};
use holdfast_plan::host_config::HostConfigPatch;
use holdfast_plan::memory::{GoingDown, PowerChange};
use holdfast_plan::policy::Force;
use holdfast_plan::target::AppId;

use super::Reconciler;
use crate::events::{Level, Topic};
use crate::host::HostError;

/// Not down after this long, ms, the device was not listening.
const GOING_DOWN_MS: i64 = 5 * 60_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub enum HostOrder {
    /// Restart or shut down.
    Power(PowerChange),
    /// Change name or proxy.
    Configure(Box<HostConfigPatch>),
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// An application holds its update lock.
    Locked(String),
    /// What is asked for makes no sense; nothing was changed.
    Invalid(String),
    /// It failed.
    Failed(String),
}

impl From<HostError> for OrderError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::LockHeld { .. } => OrderError::Locked(error.to_string()),
            HostError::Invalid(message) => OrderError::Invalid(message),
            error => OrderError::Failed(error.to_string()),
        }
    }
}

/// Services by app.
type Taken = BTreeMap<AppId, BTreeSet<String>>;

impl Reconciler {
    /// Carries an order out.
    pub(super) async fn order(&mut self, order: HostOrder, from: &str, force: bool) -> Result<(), OrderError> {
        let state = self.tools.host.state().await;
        if matches!(order, HostOrder::Power(_)) && state.os_update && !force {
            return Err(OrderError::Failed("Waiting for Host OS update to finish".into()));
        }
        let force = force || self.last.policy.force == Some(Force::OverrideVariable);
        let taken = self.lock_all(from, force).await?;
        let outcome = match &order {
            HostOrder::Power(power) => self.tools.host.power(*power).await,
            HostOrder::Configure(patch) => self.tools.host.set_host_config(patch).await,
        };
        match (&order, &outcome) {
            // The locks stay: nobody may begin anything now.
            (HostOrder::Power(power), Ok(())) => {
                log::info!("{power} asked for by the {from}{}", if force { " with force" } else { "" });
                self.goes_down(*power);
            }
            _ => self.give_back(&taken).await,
        }
        Ok(outcome?)
    }

    /// The device was asked to go down: nothing is begun any more.
    pub(super) fn goes_down(&mut self, power: PowerChange) {
        let until_boot_ms = self.tools.clock.now().boot_ms + GOING_DOWN_MS;
        self.memory.going_down = Some(GoingDown { power, until_boot_ms });
    }

    /// Takes the locks of every app there is and returns those that were not the agent's before.
    async fn lock_all(&mut self, from: &str, force: bool) -> Result<Taken, OrderError> {
        let locks = self.tools.host.locks().await?;
        let wall_ms = self.tools.clock.now().wall_ms;
        let mut taken = Taken::new();
        for (app, services) in everybody(&self.last.current.engine.containers, &locks) {
            let ours = |service: &&String| matches!(locks.holder(app, service), Some(LockHolder::Agent { .. }));
            let new: BTreeSet<String> = services.iter().filter(|service| !ours(service)).cloned().collect();
            match self.tools.host.take_locks(app, &services, force).await {
                Ok(broken) => {
                    taken.insert(app, new);
                    for lock in broken {
                        let message = format!("the application's update lock {} was broken by the {from}", lock.file);
                        self.announcer.say_on(Topic::Lock, Level::Warning, None, Some(&lock.service), message, wall_ms);
                    }
                }
                Err(error) => {
                    self.give_back(&taken).await;
                    return Err(error.into());
                }
            }
        }
        Ok(taken)
    }

    async fn give_back(&mut self, taken: &Taken) {
        for (app, services) in taken.iter().filter(|(_, services)| !services.is_empty()) {
            if let Err(error) = self.tools.host.release_locks(*app, services).await {
                // The plan gives them back as soon as the app has settled.
                log::warn!("update locks of app {app} are not given back yet: {error}");
            }
        }
    }
}

/// All services of all apps that have containers.
fn everybody(containers: &[holdfast_plan::current::Container], locks: &Locks) -> Taken {
    let mut apps = Taken::new();
    for container in containers {
        apps.entry(container.app_id).or_default().insert(container.service.clone());
    }
    for (app, services) in &mut apps {
        services.extend(locks.held.get(app).into_iter().flatten().map(|(service, _)| service.clone()));
    }
    apps
}
