//! Update locks in the plan: taken before anything is stopped, given back when the app has settled (behaviour §6).

use std::collections::BTreeSet;

use super::draft::Draft;
use super::step::LOCK_KEY;
use super::{Action, Reason};
use crate::current::LockHolder;
use crate::policy::Gate;
use crate::target::{App, AppId};

/// Whether the locks of all these services are the agent's and stay so: those that are being given back, now or by this plan,
/// do not count.
pub(super) fn are_ours(draft: &Draft<'_>, app: AppId, services: &BTreeSet<String>) -> bool {
    let key = format!("{LOCK_KEY}{app}");
    let in_motion = draft.input.current.in_flight.contains_key(&key) || draft.plans(&key);
    !in_motion && draft.input.current.locks.all_ours(app, services.iter().map(String::as_str))
}

/// Whether the locks of all these services are the agent's; otherwise asks for them or says what they wait for.
/// A first install interrupts nobody, so no update window holds it up.
pub(super) fn acquire(draft: &mut Draft<'_>, app: &App, services: BTreeSet<String>, first_install: bool) -> bool {
    if are_ours(draft, app.id, &services) {
        return true;
    }
    if let Gate::Until { wall_ms, why } = &draft.input.policy.switch
        && !first_install
    {
        if let Some(at) = wall_ms {
            draft.wake_at_wall(*at);
        }
        draft.wait(&app.name, None, Reason::WaitingForUpdateWindow { why: why.clone() });
        return false;
    }
    take(draft, &app.name, app.id, services)
}

/// Asks for locks, or waits for the application that holds one. Always false: they are seen held in a later round.
pub(super) fn take(draft: &mut Draft<'_>, name: &str, app: AppId, services: BTreeSet<String>) -> bool {
    let force = draft.input.policy.force.clone();
    if force.is_none()
        && let Some((service, reason)) = held_by_application(draft, app, &services)
    {
        draft.wait(name, Some(&service), reason);
        return false;
    }
    draft.step(Some(name), None, Action::TakeLock { app_id: app, services, force }, Reason::BeforeSwitch);
    false
}

/// The first of these services whose lock the application holds, and that in words.
pub(super) fn held_by_application(draft: &Draft<'_>, app: AppId, services: &BTreeSet<String>) -> Option<(String, Reason)> {
    services.iter().find_map(|service| match draft.input.current.locks.holder(app, service)? {
        LockHolder::Application { file, since_ms } => {
            let (file, since_ms) = (file.clone(), *since_ms);
            Some((service.clone(), Reason::WaitingForLock { service: service.clone(), file, since_ms }))
        }
        LockHolder::Agent { .. } => None,
    })
}

/// Gives back every lock of the agent on this app.
pub(super) fn release(draft: &mut Draft<'_>, name: Option<&str>, app: AppId) {
    let Some(held) = draft.input.current.locks.held.get(&app) else { return };
    let ours = held.iter().filter(|(_, lock)| matches!(lock.holder, LockHolder::Agent { .. }));
    let services: BTreeSet<String> = ours.map(|(service, _)| service.clone()).collect();
    if !services.is_empty() {
        draft.step(name, None, Action::ReleaseLock { app_id: app, services }, Reason::NothingLeftToDo);
    }
}
