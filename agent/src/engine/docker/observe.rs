//! One look at everything planning needs.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptions;
use futures_util::{StreamExt, TryStreamExt, stream};
use holdfast_plan::current::{Container, EngineState};

use super::cache::fingerprint;
use super::container_in::container_in;
use super::podman::as_docker;
use super::recognise::is_other_supervisor;
use super::{LOOK_LIMIT, Shared};
use crate::engine::{EngineError, Result};

/// Most inspections at a time: the engine answers them one after another anyway on a small machine.
const AT_A_TIME: usize = 8;

impl Shared {
    /// Looks at the engine: four lists, and an inspection of each container of which something is new.
    pub(super) async fn observe(&self) -> Result<EngineState> {
        let (listed, images, networks, volumes) =
            tokio::try_join!(self.list_containers(), self.list_images(), self.list_networks(), self.list_volumes())?;
        let other_supervisor = listed.iter().find_map(other_supervisor);
        let ours = listed.into_iter().filter(|entry| self.scope.is_our_container(&entry.labels.clone().unwrap_or_default()));
        let mut containers: Vec<Container> = stream::iter(ours.map(|entry| self.look_at(entry)))
            .buffer_unordered(AT_A_TIME)
            .try_filter_map(|found| std::future::ready(Ok(found)))
            .try_collect()
            .await?;
        containers.sort_by(|a, b| (a.app_id, &a.service, a.created_ms, &a.id).cmp(&(b.app_id, &b.service, b.created_ms, &b.id)));
        self.add_image_configs(&mut containers).await?;
        Ok(EngineState { containers, images, networks, volumes, other_supervisor })
    }

    async fn list_containers(&self) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let list = |docker: Docker| async move { docker.list_containers(Some(options)).await };
        let listed = self.link.call("list of containers", LOOK_LIMIT, list).await?;
        let ids: BTreeSet<&str> = listed.iter().filter_map(|entry| entry.id.as_deref()).collect();
        let images: BTreeSet<&str> = listed.iter().filter_map(|entry| entry.image_id.as_deref()).collect();
        self.cache.retain(&ids, &images);
        Ok(listed)
    }

    /// A container of the list in full; `None` when it went away meanwhile or cannot be one of ours.
    async fn look_at(&self, entry: ContainerSummary) -> Result<Option<Container>> {
        let Some(id) = entry.id.as_deref() else { return Ok(None) };
        let fingerprint = fingerprint(&entry);
        if let Some(kept) = self.cache.container(id, fingerprint) {
            return Ok(kept);
        }
        let before = self.cache.now();
        let answer = match self.inspect_container(id).await {
            Ok(answer) => answer,
            Err(EngineError::NotFound { .. }) => return Ok(None),
            // The remains of a container, which the engine itself is getting rid of, need not be readable.
            Err(EngineError::Failed { .. }) if entry.state == Some(ContainerSummaryStateEnum::REMOVING) => return Ok(None),
            Err(error) => return Err(error),
        };
        let container = container_in(as_docker(answer), &self.scope)
            .inspect_err(|why| log::warn!("container {id} is labelled as supervised but is left alone: {why}"))
            .ok();
        self.cache.keep_container(id, fingerprint, before, container.clone());
        Ok(container)
    }

    /// Adds to each container the defaults of its image, where the engine still has it.
    async fn add_image_configs(&self, containers: &mut [Container]) -> Result<()> {
        let mut configs = BTreeMap::new();
        for id in containers.iter().map(|container| container.image_id.clone()).collect::<BTreeSet<_>>() {
            let config = self.image_config(&id).await?;
            configs.insert(id, config);
        }
        for container in containers {
            container.image_config = configs.get(&container.image_id).cloned().flatten();
        }
        Ok(())
    }
}

/// The name of a running container of balena's own supervisor.
fn other_supervisor(entry: &ContainerSummary) -> Option<String> {
    let up = matches!(entry.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::RESTARTING));
    let image = entry.image.as_deref().unwrap_or_default();
    let name = entry.names.iter().flatten().find(|name| is_other_supervisor(name, image)).filter(|_| up)?;
    Some(name.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_supervisor_counts() {
        let entry = |name: &str, state| ContainerSummary {
            names: Some(vec![name.to_owned()]),
            image: Some("balena/aarch64-supervisor:v14".into()),
            state: Some(state),
            ..ContainerSummary::default()
        };
        let running = ContainerSummaryStateEnum::RUNNING;
        assert_eq!(other_supervisor(&entry("/balena_supervisor", running)).as_deref(), Some("balena_supervisor"));
        assert_eq!(other_supervisor(&entry("/balena_supervisor", ContainerSummaryStateEnum::EXITED)), None);
        assert_eq!(other_supervisor(&entry("/main_1_2_abc", running)), None);
    }
}
