//! The health gate: a new release counts only when its services have proved themselves; otherwise the settled one is
//! restored and the new one stays rejected until the target changes.
//!
//! The gate is on when a service of the release carries `io.balena.update.health-timeout` (ms), or the device variable
//! `HOLDFAST_HEALTH_TIMEOUT` (ms) is set, and there is a settled release to go back to.

use super::draft::Draft;
use super::need::Need;
use super::start::Candidate;
use super::{Action, Reason};
use crate::container::RestartPolicy;
use crate::current::{Container, ContainerState, Health};
use crate::memory::{Rejected, Remember, Trial};
use crate::target::{App, AppClass, Release, app_from_document};

/// How long a service without a health check must stay up: this, or the whole time-out when that is shorter.
const STAY_UP_MS: i64 = 30_000;

/// How often the agent may start during one trial before the release is given up.
const MAX_STARTS: u32 = 4;

/// Names of the device variable.
const VARIABLES: [&str; 3] = ["BALENA_HOLDFAST_HEALTH_TIMEOUT", "RESIN_HOLDFAST_HEALTH_TIMEOUT", "HOLDFAST_HEALTH_TIMEOUT"];

/// What the gate says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing stands in the way of settling.
    Settle,
    /// Not yet, or not at all.
    Wait,
}

/// The settled release in place of a rejected one. Forgets the rejection when the target has moved on.
pub(super) fn stand_in(draft: &mut Draft<'_>, app: &App) -> Option<App> {
    let memory = draft.input.memory;
    let rejected = memory.rejected.get(&app.uuid)?;
    let settled = memory.settled.get(&app.uuid);
    let wanted = app.release.as_ref().map(|release| release.commit.as_str());
    if wanted != Some(rejected.commit.as_str()) {
        let change = Remember::ForgetRejected { app_uuid: app.uuid.clone() };
        draft.step(Some(&app.name), None, Action::Remember { change }, Reason::TargetMovedOn);
        return None;
    }
    let settled = settled?;
    let restored = app_from_document(&app.uuid, &settled.document)?;
    let (commit, why) = (rejected.commit.clone(), rejected.why.clone());
    draft.note(&app.name, None, Reason::Rejected { commit, why, restored: settled.commit.clone() });
    Some(App { fingerprint: settled.fingerprint.clone(), class: AppClass::Fleet, ..restored })
}

/// Whether the switch to a release may begin: where the gate is on, its trial has to be on record first. A switch that
/// outran the record would never be judged.
pub(super) fn begin(draft: &mut Draft<'_>, app: &App, release: &Release) -> bool {
    if timeout_ms(draft, app, release).is_none() || trial(draft, app, release).is_some() {
        return true;
    }
    let trial = Trial { commit: release.commit.clone(), starts: 1, since_boot_ms: Some(draft.input.now.boot_ms) };
    let change = Remember::BeginTrial { app_uuid: app.uuid.clone(), trial };
    draft.step(Some(&app.name), None, Action::Remember { change }, Reason::TrialBegins);
    false
}

/// Judges a release on trial. `placed` says that every service is where the release wants it.
pub(super) fn judge<'a>(
    draft: &mut Draft<'_>,
    app: &App,
    release: &Release,
    candidates: impl Iterator<Item = &'a Candidate<'a>>,
    placed: bool,
) -> Verdict {
    let (Some(timeout), Some(trial)) = (timeout_ms(draft, app, release), trial(draft, app, release)) else {
        return Verdict::Settle;
    };
    let candidates: Vec<&Candidate<'_>> = candidates.collect();
    let now = draft.input.now;
    let since = trial.since_boot_ms.unwrap_or(now.boot_ms);
    if trial.starts > MAX_STARTS {
        let why = format!("the agent was started {} times during the trial", trial.starts);
        return reject(draft, app, release, why);
    }
    // Downloads of the kill-first strategies belong to the switch, not to the trial.
    if candidates.iter().any(|candidate| !candidate.has_image && !matches!(candidate.need, Need::Keep)) {
        return Verdict::Wait;
    }
    // What could not even be put in place has twice the time: a switch takes a while.
    let deadline = since + if placed { timeout } else { 2 * timeout };
    let pending = candidates
        .iter()
        .find_map(|candidate| Some((candidate.service.name.clone(), pending(candidate, timeout, now.machine_ms)?)));
    match pending {
        None if placed => Verdict::Settle,
        pending if deadline <= now.boot_ms => {
            let why = pending.map_or_else(
                || "its services could not all be started".to_owned(),
                |(service, state)| format!("{service} was {state} after {} s", timeout / 1000),
            );
            reject(draft, app, release, why)
        }
        pending => {
            draft.wake(deadline.min(now.boot_ms + STAY_UP_MS));
            if let Some((service, state)) = pending {
                let reason = Reason::WaitingForHealth { service: service.clone(), state, deadline_boot_ms: deadline };
                draft.wait(&app.name, Some(&service), reason);
            }
            Verdict::Wait
        }
    }
}

fn reject(draft: &mut Draft<'_>, app: &App, release: &Release, why: String) -> Verdict {
    let rejected = Rejected { commit: release.commit.clone(), why: why.clone() };
    let change = Remember::Reject { app_uuid: app.uuid.clone(), rejected };
    draft.step(Some(&app.name), None, Action::Remember { change }, Reason::TrialFailed { commit: release.commit.clone(), why });
    Verdict::Wait
}

/// The gate's time, ms; `None` when it is off for this app.
fn timeout_ms(draft: &Draft<'_>, app: &App, release: &Release) -> Option<i64> {
    let input = draft.input;
    // What was settled under another agent may have no description: then there is no way back.
    let settled = input.memory.settled.get(&app.uuid);
    settled.filter(|settled| settled.commit != release.commit && !settled.document.is_null())?;
    let labels = release.services.values().filter_map(|service| service.labels.get("io.balena.update.health-timeout"));
    let variable = VARIABLES.iter().find_map(|name| input.target.config.get(*name));
    labels.chain(variable).filter_map(|text| text.trim().parse::<i64>().ok()).filter(|ms| *ms > 0).max()
}

fn trial<'a>(draft: &Draft<'a>, app: &App, release: &Release) -> Option<&'a Trial> {
    draft.input.memory.trials.get(&app.uuid).filter(|trial| trial.commit == release.commit)
}

/// What a service still has to prove; `None` when it has.
fn pending(candidate: &Candidate<'_>, timeout: i64, machine_ms: i64) -> Option<String> {
    if !candidate.starts_at_once() {
        return None;
    }
    let Some(container) = candidate.present else { return Some("not started".into()) };
    match (container.state, container.health) {
        (ContainerState::Running, Some(Health::Healthy)) => None,
        (ContainerState::Running, Some(Health::Starting)) => Some("not yet healthy".into()),
        (ContainerState::Running, Some(Health::Unhealthy)) => Some("unhealthy".into()),
        (ContainerState::Running, None) => stays_up(container, timeout, machine_ms),
        (ContainerState::Exited, _) if container.exit_code == 0 && candidate.service.options.restart == RestartPolicy::No => None,
        (ContainerState::Exited, _) => Some(format!("exited with code {}", container.exit_code)),
        (ContainerState::Restarting, _) => Some("restarting again and again".into()),
        _ => Some("not running".into()),
    }
}

fn stays_up(container: &Container, timeout: i64, machine_ms: i64) -> Option<String> {
    let needed = STAY_UP_MS.min(timeout / 2);
    let up_ms = container.started_ms.map_or(0, |started| machine_ms - started);
    (up_ms < needed).then(|| "not up for long enough yet".to_owned())
}

#[cfg(test)]
mod tests;
