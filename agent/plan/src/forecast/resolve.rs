//! What it takes for a wait to be over, applied to the model.

use super::Model;
use crate::current::{ContainerState, Health, LockHolder};
use crate::plan::{Reason, Wait};
use crate::policy::Gate;

/// Lets every wait resolve that can, and returns their sentences.
pub(super) fn resolve(model: &mut Model, waiting: &[Wait]) -> Vec<String> {
    let mut sentences: Vec<String> =
        waiting.iter().filter(|wait| over(model, wait)).map(|wait| wait.reason.to_string()).collect();
    sentences.sort();
    sentences.dedup();
    sentences
}

fn over(model: &mut Model, wait: &Wait) -> bool {
    match &wait.reason {
        Reason::WaitingForLock { service, .. } => {
            for locks in model.current.locks.held.values_mut() {
                locks.retain(|name, lock| name != service || matches!(lock.holder, LockHolder::Agent { .. }));
            }
            true
        }
        Reason::WaitingForDependency { service, condition } => depend(model, service, condition),
        Reason::WaitingForDownloadWindow { .. } => std::mem::take(&mut model.policy.download) != Gate::Open,
        Reason::WaitingForUpdateWindow { .. } => std::mem::take(&mut model.policy.switch) != Gate::Open,
        Reason::HeldForVolume { .. } => model.policy.hold.take().is_some(),
        Reason::Retry { .. } => {
            let any = !model.memory.failures.is_empty();
            model.memory.failures.clear();
            any
        }
        _ => false,
    }
}

fn depend(model: &mut Model, service: &str, condition: &str) -> bool {
    let mut any = false;
    for container in model.current.engine.containers.iter_mut().filter(|container| container.service == service) {
        let before = (container.state, container.health);
        match condition {
            "healthy" => container.health = container.health.map(|_| Health::Healthy),
            "completed successfully" => {
                container.state = ContainerState::Exited;
                container.exit_code = 0;
            }
            _ => container.state = ContainerState::Running,
        }
        any |= before != (container.state, container.health);
    }
    any
}
