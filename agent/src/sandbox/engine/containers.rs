//! Containers: made, started, told to stop, removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::container::{ContainerSpec, NetworkMode, PortBinding, RestartPolicy};
use holdfast_plan::current::{ContainerState, Health};
use tokio::time::Instant;

use super::merge::effective;
use super::observer::Mutation;
use super::world::{Due, Held, World};
use crate::engine::{EngineError, Result};

/// Exit code of a process that was killed.
pub(super) const KILLED: i64 = 137;

fn object(name: &str) -> String {
    format!("container {name}")
}

fn not_found(id: &str) -> EngineError {
    EngineError::NotFound { object: object(id), message: format!("No such container: {id}") }
}

impl Held {
    /// Its main process is there.
    pub fn runs(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }

    fn has_healthcheck(&self) -> bool {
        let test = self.spec.options.healthcheck.as_ref().and_then(|check| check.test.as_ref());
        test.is_some_and(|test| test.first().is_some_and(|kind| kind != "NONE"))
    }

    /// The main process begins.
    pub fn begin(&mut self, now: Instant, wall_ms: i64) {
        self.state = ContainerState::Running;
        self.started_ms = Some(wall_ms);
        self.error.clear();
        self.exit_code = 0;
        let attempts = self.due.attempts;
        self.due = Due { attempts, since: Some(now), ..Due::default() };
        self.due.exit = self.program.exits.map(|(after, code)| (now + after, code));
        self.health = None;
        if self.has_healthcheck() {
            self.health = Some(Health::Starting);
            self.due.health = self.program.health.iter().rev().map(|(after, health)| (now + *after, *health)).collect();
        }
    }

    /// The main process is gone.
    pub fn end(&mut self, wall_ms: i64, exit_code: i64) {
        self.state = ContainerState::Exited;
        self.finished_ms = Some(wall_ms);
        self.exit_code = exit_code;
        let attempts = self.due.attempts;
        self.due = Due { attempts, since: self.due.since, ..Due::default() };
    }
}

impl World {
    /// Makes a container.
    pub fn create_container(&mut self, spec: &ContainerSpec) -> Result<String> {
        self.check_name(&spec.name)?;
        let no_image = || EngineError::NotFound { object: object(&spec.name), message: format!("No such image: {}", spec.image) };
        let image_id = self.resolve_image(&spec.image).ok_or_else(no_image)?;
        let image = self.images.get(&image_id).ok_or_else(no_image)?;
        let (mut merged, program) = (effective(spec, &image_id, &image.config), image.program.clone());
        if let Some(dropped) = self.dropped {
            dropped(&mut merged.options);
        }
        self.check_mode(&merged)?;
        for network in merged.networks.keys() {
            self.check_network(&spec.name, network)?;
        }
        self.create_missing_volumes(&merged);
        let (id, sequence) = (self.new_id(), self.next_sequence());
        let held = Held {
            sequence,
            id: id.clone(),
            image_id,
            spec: Arc::new(merged),
            program,
            created_ms: self.wall_ms(),
            started_ms: None,
            finished_ms: None,
            state: ContainerState::Created,
            exit_code: 0,
            error: String::new(),
            health: None,
            restart_count: 0,
            stopped_by_hand: false,
            due: Due::default(),
        };
        self.containers.insert(id.clone(), held);
        self.note_container(&id, Mutation::ContainerCreated);
        Ok(id)
    }

    fn check_name(&self, name: &str) -> Result<()> {
        match self.containers.values().find(|held| held.spec.name == name) {
            None => Ok(()),
            Some(held) => {
                let message = format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
                    held.id
                );
                Err(EngineError::Conflict { object: object(name), message })
            }
        }
    }

    fn check_mode(&self, spec: &ContainerSpec) -> Result<()> {
        match &spec.network_mode {
            NetworkMode::Container(id) if self.find(id).is_none() => Err(not_found(id)),
            NetworkMode::Service(service) => {
                let message = format!("network mode service:{service} means nothing to an engine");
                Err(EngineError::Failed { object: object(&spec.name), message })
            }
            _ => Ok(()),
        }
    }

    /// Starts a container; running is fine.
    pub fn start_container(&mut self, id: &str, now: Instant) -> Result<()> {
        let held = self.find(id).ok_or_else(|| not_found(id))?;
        if held.runs() {
            return Ok(());
        }
        let (id, name) = (held.id.clone(), held.spec.name.clone());
        if let Err(message) = self.check_start(held) {
            if let Some(held) = self.containers.get_mut(&id) {
                held.error = message.clone();
                held.exit_code = 128;
            }
            return Err(EngineError::Failed { object: object(&name), message });
        }
        let wall_ms = self.wall_ms();
        if let Some(held) = self.containers.get_mut(&id) {
            held.begin(now, wall_ms);
            held.stopped_by_hand = false;
            held.restart_count = 0;
            held.due.attempts = 0;
        }
        self.note_container(&id, Mutation::ContainerStarted);
        Ok(())
    }

    fn check_start(&self, held: &Held) -> std::result::Result<(), String> {
        if let Some(error) = &held.program.start_error {
            return Err(error.clone());
        }
        for network in held.spec.networks.keys() {
            self.check_network(&held.spec.name, network).map_err(|e| e.to_string())?;
        }
        let taken: BTreeSet<&PortBinding> = self.containers.values().filter(|c| c.runs()).flat_map(|c| &c.spec.ports).collect();
        let clash = held.spec.ports.iter().find(|port| taken.iter().any(|other| ports_clash(port, other)));
        match clash {
            None => Ok(()),
            Some(port) => Err(format!(
                "driver failed programming external connectivity on endpoint {}: Bind for {}:{} failed: port is already allocated",
                held.spec.name,
                if port.host_ip.is_empty() { "0.0.0.0" } else { &port.host_ip },
                port.host_port
            )),
        }
    }

    /// Tells a container to stop; returns when it will have ended, `None` when it does not run (or is not there).
    pub fn tell_to_stop(&mut self, id: &str, now: Instant) -> Option<Instant> {
        let id = self.find(id)?.id.clone();
        let held = self.containers.get_mut(&id)?;
        held.stopped_by_hand = true;
        if held.state == ContainerState::Restarting {
            held.state = ContainerState::Exited;
            held.due.restart = None;
            self.note_container(&id, Mutation::ContainerStopped);
            return None;
        }
        if !held.runs() {
            return None;
        }
        if let Some((at, _)) = held.due.stop {
            return Some(at);
        }
        let grace = Duration::from_secs(u64::try_from(held.spec.options.stop_grace_period_s).unwrap_or(0));
        let at = now + held.program.stop_takes.min(grace);
        held.due.stop = Some((at, if held.program.stop_takes > grace { KILLED } else { 0 }));
        self.note_container(&id, Mutation::ContainerStopping);
        Some(at)
    }

    /// Removes a container that does not run.
    pub fn remove_container(&mut self, id: &str) -> Result<()> {
        let Some(held) = self.find(id) else { return Ok(()) };
        if held.runs() || held.state == ContainerState::Restarting {
            let message = format!(
                "You cannot remove a running container {}. Stop the container before attempting removal or force remove",
                held.id
            );
            return Err(EngineError::Conflict { object: object(&held.spec.name), message });
        }
        let (id, shown) = (held.id.clone(), self.shown(held));
        self.containers.remove(&id);
        self.note(Mutation::ContainerRemoved(Box::new(shown)));
        Ok(())
    }

    /// Gives a container another name.
    pub fn rename_container(&mut self, id: &str, name: &str) -> Result<()> {
        let held = self.find(id).ok_or_else(|| not_found(id))?;
        let (id, from) = (held.id.clone(), held.spec.name.clone());
        if from == name {
            return Ok(());
        }
        self.check_name(name)?;
        if let Some(held) = self.containers.get_mut(&id) {
            Arc::make_mut(&mut held.spec).name = name.into();
            let container = Box::new(self.shown(&self.containers[&id]));
            self.note(Mutation::ContainerRenamed { container, from });
        }
        Ok(())
    }

    /// Changes a container's restart policy.
    pub fn set_policy(&mut self, id: &str, policy: RestartPolicy) -> Result<()> {
        let id = self.find(id).ok_or_else(|| not_found(id))?.id.clone();
        if let Some(held) = self.containers.get_mut(&id) {
            let from = std::mem::replace(&mut Arc::make_mut(&mut held.spec).options.restart, policy);
            let container = Box::new(self.shown(&self.containers[&id]));
            self.note(Mutation::PolicyChanged { container, from });
        }
        Ok(())
    }
}

fn ports_clash(one: &PortBinding, other: &PortBinding) -> bool {
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    one.host_port != 0
        && one.host_port == other.host_port
        && one.port.protocol == other.port.protocol
        && (any(&one.host_ip) || any(&other.host_ip) || one.host_ip == other.host_ip)
}
