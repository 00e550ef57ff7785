//! What one service needs: its present container against the wanted one (behaviour §3.2, §3.3).

use super::Reason;
use super::findings::Finding;
use super::wanted::Wanted;
use crate::container::{RestartPolicy, differences, is_as_made};
use crate::current::{Container, ContainerState};
use crate::target::Service;

/// What has to happen to a service.
#[derive(Debug)]
pub(super) enum Need<'a> {
    /// Nothing.
    Keep,
    /// It has no container.
    Install,
    /// Its container fits, only the release's name on it is old.
    Rename(&'a Container),
    /// Its container fits and should run.
    Start(&'a Container, Reason),
    /// Its container fits and should not run.
    Stop(&'a Container),
    /// Its container does not fit.
    Replace(&'a Container, Reason),
    /// Its container is half removed: finish that first.
    Bury(&'a Container),
}

/// Containers of one service, told apart.
#[derive(Debug, Default)]
pub(super) struct Present<'a> {
    /// The one that counts: the newest that is not handing over, else the newest.
    pub newest: Option<&'a Container>,
    /// Older duplicates.
    pub others: Vec<&'a Container>,
}

impl<'a> Present<'a> {
    /// Sorts the containers of one service.
    pub fn of(mut all: Vec<&'a Container>) -> Present<'a> {
        all.sort_by(|a, b| (!a.handing_over, a.created_ms, &a.id).cmp(&(!b.handing_over, b.created_ms, &b.id)));
        let newest = all.pop();
        Present { newest, others: all }
    }
}

/// Compares a present container with the wanted one: what was found, or the fields in which it does not fit. What is known
/// already is not looked at again.
pub(super) fn compare(present: &Container, wanted: &Wanted<'_>, known: Option<Finding>) -> Result<Finding, Vec<String>> {
    if let Some(known) = known.filter(|known| known.holds(present, wanted)) {
        return Ok(known);
    }
    let fields = differences(present, wanted.spec());
    if !fields.is_empty() && !is_as_made(present, wanted.spec(), &fields) {
        return Err(fields);
    }
    let is_named = present.spec.name == wanted.spec().name;
    Ok(Finding::of(present, wanted, is_named, fields))
}

/// Whether a container is half removed: then it is not looked at any closer.
pub(super) fn is_half_removed(container: &Container) -> bool {
    matches!(container.state, ContainerState::Dead | ContainerState::Removing)
}

/// Decides what a service needs whose container is as wanted, but for its name maybe. `stopped` says that its stop was
/// asked for through the API.
pub(super) fn assess<'a>(service: &Service, container: &'a Container, is_named: bool, stopped: bool) -> Need<'a> {
    if !is_named {
        return Need::Rename(container);
    }
    if !service.running {
        return if container.is_up() { Need::Stop(container) } else { Need::Keep };
    }
    match container.state {
        ContainerState::Created if !stopped => Need::Start(container, Reason::StartedNever),
        ContainerState::Exited if !stopped && should_run_again(container, service.options.restart) => {
            Need::Start(container, Reason::StoppedByEngine { exit_code: container.exit_code })
        }
        _ => Need::Keep,
    }
}

/// Whether an exited container is one that the engine should have started again and did not: after a crash of the engine
/// `unless-stopped` containers stay down. One-shot services (`no`) are never run again.
fn should_run_again(container: &Container, policy: RestartPolicy) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::OnFailure => container.exit_code != 0,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
    }
}
