//! What one service needs: its present container against the wanted one (behaviour §3.2, §3.3).

use super::Reason;
use crate::container::{ContainerSpec, RestartPolicy, differences};
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
    pub fn of(containers: impl Iterator<Item = &'a Container>) -> Present<'a> {
        let mut all: Vec<&Container> = containers.collect();
        all.sort_by(|a, b| (!a.handing_over, a.created_ms, &a.id).cmp(&(!b.handing_over, b.created_ms, &b.id)));
        let newest = all.pop();
        Present { newest, others: all }
    }
}

/// Decides what a service needs. `stopped` says that its stop was asked for through the API.
pub(super) fn assess<'a>(service: &Service, present: Option<&'a Container>, wanted: &ContainerSpec, stopped: bool) -> Need<'a> {
    let Some(container) = present else { return Need::Install };
    if matches!(container.state, ContainerState::Dead | ContainerState::Removing) {
        return Need::Bury(container);
    }
    let fields = differences(container, wanted);
    if !fields.is_empty() {
        return Need::Replace(container, Reason::Changed { fields });
    }
    if container.spec.name != wanted.name {
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
