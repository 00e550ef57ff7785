//! What is done to containers. Every call may be repeated: what is so already is fine.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerUpdateBody, NetworkConnectRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, RenameContainerOptions};
use holdfast_plan::container::{ContainerSpec, RestartPolicy};

use super::container_out::{create_body, other_networks};
use super::errors::{gone_is_fine, with_hint, words};
use super::names::checked;
use super::options_out::restart_out;
use super::{LOOK_LIMIT, Shared, WORK_LIMIT};
use crate::engine::{EngineError, Result};

/// How much longer than its own grace period a container may take to be stopped.
const STOP_MARGIN: Duration = Duration::from_secs(60);

/// The longest grace period that is waited for; a larger one in a container is waited for only so long.
const LONGEST_GRACE_S: i64 = 6 * 60 * 60;

impl Shared {
    pub(super) async fn inspect_container(&self, id: &str) -> Result<ContainerInspectResponse> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        self.link.call(&object, LOOK_LIMIT, |docker| async move { docker.inspect_container(id, None).await }).await
    }

    /// Makes a container in its main network and joins the others. When one cannot be joined the container is removed
    /// again: half of it would be worse than none.
    pub(super) async fn create_container(&self, spec: &ContainerSpec) -> Result<String> {
        let object = format!("container {}", spec.name);
        let body = create_body(spec, &self.scope).map_err(|service| EngineError::Failed {
            object: object.clone(),
            message: format!("it shares the network of service {service}, whose container was not looked up before"),
        })?;
        self.require_networks(&object, spec).await?;
        let options = CreateContainerOptions { name: Some(spec.name.clone()), ..CreateContainerOptions::default() };
        let create = |docker: Docker| async move { docker.create_container(Some(options), body).await };
        let made = Box::pin(self.link.call(&object, WORK_LIMIT, create)).await?;
        for warning in &made.warnings {
            log::warn!("{object}: the engine warns: {warning}");
        }
        if let Err(error) = self.join_networks(&made.id, spec).await {
            self.undo_creation(&made.id, &object).await;
            return Err(error);
        }
        Ok(made.id)
    }

    /// The engine lets a container that does not run join networks that do not exist, and refuses to start it for ever after.
    async fn require_networks(&self, object: &str, spec: &ContainerSpec) -> Result<()> {
        if spec.networks.is_empty() {
            return Ok(());
        }
        let present = self.network_names().await?;
        for name in spec.networks.keys() {
            let message = match present.iter().filter(|present| *present == name).count() {
                0 => format!("there is no network {name}"),
                1 => continue,
                many => format!("there are {many} networks {name}, it cannot join either until the others are removed"),
            };
            return Err(EngineError::Failed { object: object.to_owned(), message });
        }
        Ok(())
    }

    async fn join_networks(&self, id: &str, spec: &ContainerSpec) -> Result<()> {
        for (network, endpoint) in other_networks(spec) {
            let object = format!("container {} in network {network}", spec.name);
            let network = checked(&object, network)?;
            let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint) };
            let join = |docker: Docker| async move { docker.connect_network(network, request).await };
            self.link.call(&object, WORK_LIMIT, join).await?;
        }
        Ok(())
    }

    /// Removes a container that was just made and never started. Should this fail, the next look finds it and the plan
    /// replaces it.
    async fn undo_creation(&self, id: &str, object: &str) {
        let options = RemoveContainerOptions { v: true, force: true, ..RemoveContainerOptions::default() };
        if let Err(error) = self.remove_with(id, options).await {
            log::warn!("{object} was made incompletely and cannot be removed yet, it is replaced later: {error}");
        }
    }

    pub(super) async fn start_container(&self, id: &str) -> Result<()> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        let start = |docker: Docker| async move { docker.start_container(id, None).await };
        let result = self.link.call(&object, WORK_LIMIT, start).await;
        self.cache.touch(id);
        result.map_err(explained)
    }

    /// Stops a container within its own grace period; stopped or gone is fine.
    pub(super) async fn stop_container(&self, id: &str) -> Result<()> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        let grace_s = match self.grace_s(id).await {
            Ok(grace_s) => grace_s,
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let limit = Duration::from_secs(grace_s) + STOP_MARGIN;
        let stop = |docker: Docker| async move { docker.stop_container(id, None).await };
        let result = self.link.call(&object, limit, stop).await;
        self.cache.touch(id);
        gone_is_fine(result)
    }

    /// How long the engine will wait for a container to end by itself, seconds. -1 is for ever.
    async fn grace_s(&self, id: &str) -> Result<u64> {
        let grace_s = match self.cache.stop_grace_period_s(id) {
            Some(grace_s) => grace_s,
            None => self.inspect_container(id).await?.config.and_then(|config| config.stop_timeout).unwrap_or(10),
        };
        let waited_s = if grace_s < 0 { LONGEST_GRACE_S } else { grace_s.min(LONGEST_GRACE_S) };
        Ok(waited_s.unsigned_abs())
    }

    /// Removes a container with its anonymous volumes; gone or going is fine. One that runs is refused. One that an earlier
    /// removal left dead is removed by force.
    pub(super) async fn remove_container(&self, id: &str) -> Result<()> {
        let gentle = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
        match self.remove_with(id, gentle.clone()).await {
            Err(error) if words(&error).contains("already in progress") => Ok(()),
            Err(error @ EngineError::Failed { .. }) if self.is_dead(id).await => {
                log::warn!("{error}; it is dead already and is removed by force");
                self.remove_with(id, RemoveContainerOptions { force: true, ..gentle }).await
            }
            other => other,
        }
    }

    async fn is_dead(&self, id: &str) -> bool {
        let status = self.inspect_container(id).await.ok().and_then(|answer| answer.state?.status);
        status == Some(ContainerStateStatusEnum::DEAD)
    }

    pub(super) async fn remove_with(&self, id: &str, options: RemoveContainerOptions) -> Result<()> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        let remove = |docker: Docker| async move { docker.remove_container(id, Some(options)).await };
        let result = self.link.call(&object, WORK_LIMIT, remove).await;
        self.cache.touch(id);
        gone_is_fine(result)
    }

    pub(super) async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        let options = RenameContainerOptions { name: name.to_owned() };
        let rename = |docker: Docker| async move { docker.rename_container(id, options).await };
        let result = self.link.call(&object, WORK_LIMIT, rename).await;
        self.cache.touch(id);
        match result {
            Err(error) if words(&error).contains("same name as its current name") => Ok(()),
            other => other,
        }
    }

    pub(super) async fn set_restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<()> {
        let object = format!("container {id}");
        let id = checked(&object, id)?;
        let body = ContainerUpdateBody { restart_policy: Some(restart_out(policy)), ..ContainerUpdateBody::default() };
        let update = |docker: Docker| async move { docker.update_container(id, body).await };
        let result = self.link.call(&object, WORK_LIMIT, update).await;
        self.cache.touch(id);
        match result {
            // Podman 4 does not know the call at all; what it says then names no container.
            Err(EngineError::NotFound { object, message }) if message == "Not Found" => {
                let message = "this engine cannot change the restart policy of a container".to_owned();
                Err(EngineError::Failed { object, message })
            }
            other => other,
        }
    }
}

/// Gives a failed start a hint for people where the engine's words are known.
fn explained(error: EngineError) -> EngineError {
    if words(&error).trim_end().ends_with("exec format error") {
        with_hint(error, "the image was built for another processor architecture than this device's")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_for_another_processor_is_explained() {
        let failed = |message: &str| EngineError::Failed { object: "container a".into(), message: message.into() };
        let said = "OCI runtime create failed: starting container process caused: exec: \"/a\": exec format error";
        let text = explained(failed(said)).to_string();
        assert!(text.contains(said) && text.contains("another processor architecture"), "{text}");
        assert_eq!(explained(failed("no such file")), failed("no such file"));
    }
}
