//! When a service may be started: its images, networks, volumes and dependencies (behaviour §3.3).

use std::collections::BTreeMap;

use super::Reason;
use super::need::Need;
use super::networks::Networks;
use super::volumes::Volumes;
use super::wanted::Wanted;
use crate::container::{ContainerSpec, Mount};
use crate::current::{Container, ContainerState, Health};
use crate::target::{Condition, Service};

/// One service of the release with all that planning found out about it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub service: &'a Service,
    pub present: Option<&'a Container>,
    pub wanted: Wanted<'a>,
    pub need: Need<'a>,
    /// Fields of its container that the engine did not keep.
    pub unkept: Vec<String>,
    /// Whether the engine has its image.
    pub has_image: bool,
    /// Whether its stop was asked for through the API.
    pub stopped: bool,
}

impl Candidate<'_> {
    /// Whether its label asks for a reboot between making and starting its container.
    pub fn requires_reboot(&self) -> bool {
        let label = self.service.labels.get("io.balena.update.requires-reboot");
        label.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "on"))
    }

    /// Whether its container is started as soon as it is made.
    pub fn starts_at_once(&self) -> bool {
        self.service.running && !self.stopped && !self.requires_reboot()
    }
}

/// Why a service cannot start yet; `None` when it can.
pub(super) fn blocker(
    candidate: &Candidate<'_>,
    all: &BTreeMap<&str, Candidate<'_>>,
    networks: &[&Networks],
    volumes: &Volumes,
) -> Option<Reason> {
    let all_ready = networks.iter().all(|n| n.not_ready.is_empty()) && volumes.not_ready.is_empty();
    if !all_ready && let Some(reason) = object_blocker(candidate.wanted.spec(), networks, volumes) {
        return Some(reason);
    }
    // Its own contract may keep that service away from this device; a mere dependency then holds nobody up (behaviour §9).
    if let Some(name) = candidate.wanted.partner_service().filter(|name| !all.contains_key(name)) {
        let condition = "allowed to run on this device, whose network is to be shared".into();
        return Some(Reason::WaitingForDependency { service: name.to_owned(), condition });
    }
    candidate.service.depends_on.iter().find_map(|(name, dependency)| {
        let other = all.get(name.as_str())?;
        (!is_met(other, dependency.condition))
            .then(|| Reason::WaitingForDependency { service: name.clone(), condition: word(dependency.condition).into() })
    })
}

/// A network or volume it needs that is not there.
fn object_blocker(wanted: &ContainerSpec, networks: &[&Networks], volumes: &Volumes) -> Option<Reason> {
    if let Some(name) = wanted.networks.keys().find(|name| networks.iter().any(|n| n.not_ready.contains(*name))) {
        return Some(Reason::WaitingForNetwork { name: name.clone() });
    }
    let sources = wanted.binds.iter().filter_map(|bind| bind.split_once(':').map(|(source, _)| source));
    let mounted = wanted.mounts.iter().filter_map(|mount| match mount {
        Mount::Volume { source, .. } => Some(source.as_str()),
        Mount::Tmpfs { .. } => None,
    });
    let name = sources.chain(mounted).find(|name| volumes.not_ready.contains(*name))?;
    Some(Reason::WaitingForVolume { name: name.to_owned() })
}

/// Whether a dependency has reached what is asked of it. A service that is kept stopped on purpose, by the target or
/// through the API, holds nobody up; neither does a missing health check.
fn is_met(other: &Candidate<'_>, condition: Condition) -> bool {
    let settled = matches!(other.need, Need::Keep | Need::Rename(_));
    let Some(container) = other.present.filter(|_| settled) else { return false };
    if !other.service.running || other.stopped {
        return true;
    }
    match condition {
        Condition::ServiceStarted => container.state != ContainerState::Created,
        Condition::ServiceHealthy => container.is_up() && container.health.is_none_or(|health| health == Health::Healthy),
        Condition::ServiceCompletedSuccessfully => container.state == ContainerState::Exited && container.exit_code == 0,
    }
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "started",
        Condition::ServiceHealthy => "healthy",
        Condition::ServiceCompletedSuccessfully => "completed successfully",
    }
}
