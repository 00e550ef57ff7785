//! A host in memory: lock files with their holders, and a device to describe. As deterministic as the simulated engine.

mod lock_files;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use holdfast_plan::boot::Changes;
use holdfast_plan::current::{BootFile, HostState, Locks};
use holdfast_plan::host_config::{HostConfig, HostConfigPatch};
use holdfast_plan::memory::PowerChange;
use holdfast_plan::target::AppId;
use tokio::sync::watch;

pub use self::lock_files::LOCK_FILES;
use self::lock_files::{Held, Markers, Owner, locks_of, path, release, take};
use super::faults::{Fault, Faults};
use crate::clock::Clock;
use crate::host::{BrokenLock, DeviceInfo, DiskSpace, Host, HostError, LockChanges};

/// Least time between two notices of changed locks.
const QUIET: Duration = Duration::from_millis(250);

/// Room for everything, until told otherwise.
const ROOMY_DISK: DiskSpace = DiskSpace { total_bytes: 32 << 30, free_bytes: 24 << 30 };

/// The host. Clones are the same host: a suite keeps one to turn its knobs.
#[derive(Clone)]
pub struct SimHost {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

struct State {
    rng: Rng,
    faults: Faults,
    locks: Held,
    markers: Markers,
    disk: DiskSpace,
    info: DeviceInfo,
    host: HostState,
    power: Option<PowerChange>,
    config: HostConfig,
}

impl SimHost {
    /// A host without locks.
    pub fn new(rng: Rng, clock: Arc<dyn Clock>) -> SimHost {
        let info = DeviceInfo {
            os_version: Some("Simulated OS 1.0".into()),
            device_type: Some("generic-amd64".into()),
            device_arch: Some("amd64".into()),
            hostname: Some("simulated".into()),
            ..DeviceInfo::default()
        };
        let host = HostState { boot_id: "boot".into(), device_type: "generic-amd64".into(), ..HostState::default() };
        let (locks, markers) = (Held::new(), Markers::new());
        let state = Mutex::new(State {
            rng,
            faults: Faults::default(),
            locks,
            markers,
            disk: ROOMY_DISK,
            info,
            host,
            power: None,
            config: HostConfig::default(),
        });
        SimHost { shared: Arc::new(Shared { state, changed: watch::Sender::new(0), clock }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not matter here.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (result, changed) = {
            let mut state = self.state();
            let before = (state.locks.clone(), state.markers.clone());
            let result = work(&mut state);
            let changed = (&state.locks, &state.markers) != (&before.0, &before.1);
            (result, changed)
        };
        if changed {
            self.shared.changed.send_modify(|n| *n += 1);
        }
        result
    }

    /// Changes the plan of faults. Calls are named as in [`Host`]; `LostReply` takes effect and answers with an error.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Changes the device's description.
    pub fn describe(&self, change: impl FnOnce(&mut DeviceInfo)) {
        change(&mut self.state().info);
    }

    /// The application makes its lock file; false when the file is there already (the agent's, or its own).
    pub fn hold(&self, app: AppId, service: &str) -> bool {
        let since_ms = self.shared.clock.now().wall_ms;
        self.change(|state| {
            let files = state.locks.entry((app, service.to_owned())).or_default();
            let free = !files.contains_key(LOCK_FILES[0]);
            if free {
                files.insert(LOCK_FILES[0], Owner::Application { since_ms });
            }
            free
        })
    }

    /// The application removes its lock files.
    pub fn let_go(&self, app: AppId, service: &str) {
        self.change(|state| {
            if let Some(files) = state.locks.get_mut(&(app, service.to_owned())) {
                files.retain(|_, owner| *owner == Owner::Agent);
            }
            state.locks.retain(|_, files| !files.is_empty());
        });
    }

    /// A new container says that the old one may go (behaviour §7).
    pub fn mark_handed_over(&self, app: AppId, service: &str) {
        self.change(|state| state.markers.insert((app, service.to_owned())));
    }

    /// Sets the room on every file system.
    pub fn set_disk(&self, disk: DiskSpace) {
        self.state().disk = disk;
    }

    /// The machine starts again: what lay below `/tmp` is gone.
    pub fn reboot(&self, boot_time_ms: i64) {
        self.change(|state| {
            state.locks.clear();
            state.markers.clear();
            state.info.boot_time_ms = Some(boot_time_ms);
            state.host.boot_id = format!("boot {boot_time_ms}");
            state.host.reboot.clear();
            state.power = None;
        });
    }

    /// What the agent asked of the device's power since the last time.
    pub fn take_power(&self) -> Option<PowerChange> {
        self.state().power.take()
    }

    /// Changes what the plan sees of the host.
    pub fn state_of_host(&self, change: impl FnOnce(&mut HostState)) {
        change(&mut self.state().host);
    }

    /// An agent that was killed half way left one of the two files.
    pub fn leave_half(&self, app: AppId, service: &str) {
        self.change(|state| {
            state.locks.entry((app, service.to_owned())).or_default().insert(LOCK_FILES[1], Owner::Agent);
        });
    }

    /// All locks now, without a call: for checks.
    pub fn snapshot(&self) -> Locks {
        let state = self.state();
        locks_of(&state.locks, &state.markers)
    }

    /// Decides over a call; `Ok(true)` is to be carried out and then answered with [`lost`].
    async fn enter(&self, call: &'static str, object: &str) -> Result<bool, HostError> {
        let fault = {
            let mut state = self.state();
            let State { rng, faults, .. } = &mut *state;
            faults.decide(call, object, rng)
        };
        let failed = |message: &str| HostError::File { path: object.to_owned(), message: message.to_owned() };
        match fault {
            None => Ok(false),
            Some(Fault::Fail(message)) => Err(failed(&message)),
            Some(Fault::Unreachable) => Err(failed("input/output error")),
            Some(Fault::LostReply) => Ok(true),
            Some(Fault::Hang { limit }) => {
                tokio::time::sleep(limit).await;
                Err(failed("the file system did not answer in time"))
            }
            Some(Fault::HangAfter { limit }) => {
                tokio::time::sleep(limit).await;
                Ok(true)
            }
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(false)
            }
        }
    }
}

fn lost(object: &str) -> HostError {
    HostError::File { path: object.to_owned(), message: "input/output error after the file was written".into() }
}

#[async_trait::async_trait]
impl Host for SimHost {
    async fn locks(&self) -> Result<Locks, HostError> {
        let object = "/tmp/balena-supervisor/services";
        let is_lost = self.enter("locks", object).await?;
        if is_lost { Err(lost(object)) } else { Ok(self.snapshot()) }
    }

    async fn take_locks(&self, app: AppId, services: &BTreeSet<String>, force: bool) -> Result<Vec<BrokenLock>, HostError> {
        let object = path(app, services.first().map_or("", String::as_str), LOCK_FILES[0]);
        let is_lost = self.enter("take_locks", &object).await?;
        let result = self.change(|state| take(&mut state.locks, app, services, force));
        if is_lost { Err(lost(&object)) } else { result }
    }

    async fn release_locks(&self, app: AppId, services: &BTreeSet<String>) -> Result<(), HostError> {
        let object = path(app, services.first().map_or("", String::as_str), LOCK_FILES[0]);
        let is_lost = self.enter("release_locks", &object).await?;
        self.change(|state| release(&mut state.locks, app, services));
        if is_lost { Err(lost(&object)) } else { Ok(()) }
    }

    async fn clear_marker(&self, app: AppId, service: &str) -> Result<(), HostError> {
        let object = path(app, service, "handover-complete");
        let is_lost = self.enter("clear_marker", &object).await?;
        self.change(|state| state.markers.remove(&(app, service.to_owned())));
        if is_lost { Err(lost(&object)) } else { Ok(()) }
    }

    fn lock_changes(&self) -> LockChanges {
        let start = (self.shared.changed.subscribe(), false);
        futures_util::stream::unfold(start, |(mut seen, told)| async move {
            if told {
                tokio::time::sleep(QUIET).await;
            }
            seen.changed().await.is_ok().then_some(((), (seen, true)))
        })
        .boxed()
    }

    async fn device_info(&self) -> DeviceInfo {
        self.state().info.clone()
    }

    async fn disk_space(&self, path: &Path) -> Result<DiskSpace, HostError> {
        let object = path.display().to_string();
        let is_lost = self.enter("disk_space", &object).await?;
        if is_lost { Err(lost(&object)) } else { Ok(self.state().disk) }
    }

    async fn state(&self) -> HostState {
        self.state().host.clone()
    }

    async fn write_boot_config(&self, back_end: &str, changes: &Changes, why: &str) -> Result<(), HostError> {
        let is_lost = self.enter("write_boot_config", back_end).await?;
        let mut state = self.state();
        state.host.reboot.insert(why.to_owned());
        if let Some(BootFile::Says(values)) = state.host.boot.get_mut(back_end) {
            for (key, wanted) in changes {
                match wanted {
                    Some(wanted) => values.insert(key.clone(), wanted.clone()),
                    None => values.remove(key),
                };
            }
        }
        if is_lost { Err(lost(back_end)) } else { Ok(()) }
    }

    async fn require_reboot(&self, why: &str) -> Result<(), HostError> {
        let is_lost = self.enter("require_reboot", why).await?;
        self.state().host.reboot.insert(why.to_owned());
        if is_lost { Err(lost(why)) } else { Ok(()) }
    }

    async fn power(&self, change: PowerChange) -> Result<(), HostError> {
        let object = change.to_string();
        let is_lost = self.enter("power", &object).await?;
        self.state().power = Some(change);
        if is_lost { Err(lost(&object)) } else { Ok(()) }
    }

    async fn host_config(&self) -> Result<HostConfig, HostError> {
        Ok(self.state().config.clone())
    }

    async fn set_host_config(&self, patch: &HostConfigPatch) -> Result<(), HostError> {
        if let Some(name) = &patch.hostname {
            self.state().config.network.hostname = Some(name.clone());
        }
        Ok(())
    }

    async fn settle(&self) -> Option<String> {
        None
    }
}

impl std::fmt::Debug for SimHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimHost")
    }
}

#[cfg(test)]
mod tests;
