//! The host in the plan: boot configuration, and the restart it needs (behaviour §10 to §12).
//!
//! A restart takes everybody's locks, all or none, and only when nothing else is left to do. Before each one it is put on
//! record why; the same reason again and again means that the restart does not help, and there it ends.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::{Action, Reason, locking};
use crate::boot::{self, BackEnd, OwnKeys};
use crate::current::BootFile;
use crate::memory::{RebootRecord, Remember};
use crate::policy::{Force, Gate};
use crate::target::AppId;

/// How often the device is restarted for one and the same reason.
pub const MAX_REBOOTS: u32 = 3;

/// Up for so long, ms, a device is not in a loop: the count starts again.
const CALM_MS: i64 = 24 * 3_600_000;

/// Where waits of the whole device are shown.
const DEVICE: &str = "device";

/// Brings the boot configuration to what device variables ask for. Only keys that a variable once named are the agent's.
pub(super) fn plan_configuration(draft: &mut Draft<'_>) {
    let input = draft.input;
    let host = &input.current.host;
    if host.boot_id.is_empty() || !input.memory.target_stored {
        return;
    }
    let config = &input.target.config;
    let foreign = boot::foreign(config, host.boot.keys().map(String::as_str));
    if !foreign.is_empty() {
        let device = if host.device_type.is_empty() { "this device" } else { &host.device_type };
        let why = format!("{}: passed over, {device} has no boot configuration that takes it", foreign.join(", "));
        draft.note(DEVICE, None, Reason::VariablePassedOver { why });
    }
    let none = BTreeSet::new();
    let mut own = OwnKeys::new();
    let mut pending = Vec::new();
    for (name, file) in &host.boot {
        let Some(back_end) = BackEnd::named(name) else { continue };
        let before = input.memory.boot_keys.get(name).unwrap_or(&none);
        let said = match file {
            BootFile::Says(said) => said.clone(),
            BootFile::Unusable(_) => BTreeMap::new(),
        };
        let wanted = boot::wanted(config, back_end, &said, &host.device_type);
        for (variable, why) in &wanted.refused {
            let why = format!("device variable {variable} is refused and what {name} says is left: {why}");
            draft.note(DEVICE, None, Reason::VariablePassedOver { why });
        }
        if let BootFile::Unusable(why) = file {
            own.extend((!before.is_empty()).then(|| (name.clone(), before.clone())));
            if !wanted.values.is_empty() {
                draft.wait(DEVICE, None, Reason::BootFileUnusable { file: back_end.file.to_owned(), why: why.clone() });
            }
            continue;
        }
        let changes = boot::changes(&said, &wanted.values, before);
        let kept = before.iter().filter(|key| said.contains_key(*key)).cloned();
        let keys: BTreeSet<String> = kept.chain(wanted.values.into_keys()).collect();
        own.extend((!keys.is_empty()).then(|| (name.clone(), keys)));
        if !changes.is_empty() {
            pending.push((name, changes));
        }
    }
    // Whose the keys are is on record before the first of them is written.
    if own != input.memory.boot_keys {
        return draft.step(None, None, Action::Remember { change: Remember::BootKeys { own } }, Reason::BootConfiguration);
    }
    for (name, changes) in pending {
        let why = boot::reason_line(name, &changes);
        match input.memory.reboot.as_ref().filter(|record| record.is_spent() && record.names(&why)) {
            Some(record) => draft.wait(DEVICE, None, Reason::RebootLoop { why, count: record.count }),
            None => {
                let fields = changes.keys().map(|key| format!("{name} {key}")).collect();
                let action = Action::WriteBootConfig { back_end: name.clone(), changes, why };
                draft.step(None, None, action, Reason::Changed { fields });
            }
        }
    }
}

/// Restarts the device when something needs it and nothing else is left to do.
pub(super) fn plan_reboot(draft: &mut Draft<'_>) {
    let input = draft.input;
    let host = &input.current.host;
    if host.boot_id.is_empty() || host.reboot.is_empty() {
        return;
    }
    let why = host.reboot.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let known = input.memory.reboot.as_ref().filter(|record| record.why == why);
    let asked_already = known.filter(|record| record.boot_id == host.boot_id);
    if let Some(record) = known.filter(|record| record.boot_id != host.boot_id && record.is_spent()) {
        return draft.wait(DEVICE, None, Reason::RebootLoop { why, count: record.count });
    }
    if !draft.is_quiet() {
        return draft.wait(DEVICE, None, Reason::RebootPending { why });
    }
    let by_request = matches!(input.policy.force, Some(Force::Request { .. }));
    if host.os_update && !by_request {
        return draft.wait(DEVICE, None, Reason::WaitingForOsUpdate);
    }
    if let Gate::Until { wall_ms, why } = &input.policy.switch {
        if let Some(at) = wall_ms {
            draft.wake_at_wall(*at);
        }
        return draft.wait(DEVICE, None, Reason::WaitingForUpdateWindow { why: why.clone() });
    }
    if !lock_everything(draft) {
        return draft.wait(DEVICE, None, Reason::RebootPending { why });
    }
    if asked_already.is_some() {
        return draft.step(None, None, Action::Reboot, Reason::RebootNeeded { why });
    }
    let before = known.filter(|_| input.now.boot_ms < CALM_MS).map_or(0, |record| record.count);
    let record = RebootRecord { why: why.clone(), boot_id: host.boot_id.clone(), count: before + 1 };
    draft.step(None, None, Action::Remember { change: Remember::Reboot { record } }, Reason::RebootNeeded { why });
}

/// Whether the locks of all apps are the agent's; otherwise asks for them, or says whose they wait for.
fn lock_everything(draft: &mut Draft<'_>) -> bool {
    let current = draft.input.current;
    let mut apps: BTreeMap<AppId, BTreeSet<String>> = BTreeMap::new();
    for container in &current.engine.containers {
        apps.entry(container.app_id).or_default().insert(container.service.clone());
    }
    for (app, services) in &mut apps {
        services.extend(current.locks.held.get(app).into_iter().flatten().map(|(service, _)| service.clone()));
    }
    let names: BTreeMap<AppId, String> = draft.input.target.apps.values().map(|app| (app.id, app.name.clone())).collect();
    let name = |app: AppId| names.get(&app).cloned().unwrap_or_else(|| format!("app {app}"));
    if draft.input.policy.force.is_none() {
        let mut held = false;
        for (app, services) in &apps {
            if let Some((service, reason)) = locking::held_by_application(draft, *app, services) {
                draft.wait(&name(*app), Some(&service), reason);
                held = true;
            }
        }
        if held {
            return false;
        }
    }
    // An app that has settled gives its locks back; not now.
    draft.drop_releases();
    let mut ours = true;
    for (app, services) in apps {
        if !locking::are_ours(draft, app, &services) {
            let action = Action::TakeLock { app_id: app, services, force: draft.input.policy.force.clone() };
            draft.step(Some(&name(app)), None, action, Reason::BeforeReboot);
            ours = false;
        }
    }
    ours
}

#[cfg(test)]
mod tests;
