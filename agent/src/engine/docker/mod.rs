//! The engine behind Docker's API: Docker itself, balenaEngine, Podman's service. The only place that names the client.
//!
//! Conversions are split by subject, `…_in` from the engine's words to ours and `…_out` the other way; `link` holds the
//! connection, `cache` what earlier looks found, `recognise` which objects are the agent's.

mod cache;
mod container_in;
mod container_out;
mod containers;
mod copies;
mod endpoints;
mod errors;
mod events;
mod images;
mod link;
mod mounts;
mod names;
mod networks;
mod observe;
mod options_in;
mod options_out;
mod podman;
mod ports;
mod progress;
mod pull;
mod raw;
mod recognise;
mod time;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use holdfast_plan::container::{ContainerSpec, RestartPolicy};
use holdfast_plan::current::{EngineState, Image, Volume};
use holdfast_plan::target::{AppId, AppUuid, ImageRef, NetworkSpec, VolumeSpec};
use serde_json::Value;

use super::{Address, Content, Engine, EngineInfo, Events, Progress, RegistryAuth, Result};
use cache::Cache;
use link::Link;
use recognise::Scope;

/// Limit of a call that only looks.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Limit of a call that changes something: copying an image's files into a new volume takes its time on an SD card.
const WORK_LIMIT: Duration = Duration::from_secs(5 * 60);

/// An engine that speaks Docker's API over a Unix socket.
pub struct DockerEngine {
    shared: Arc<Shared>,
}

/// What the engine and its stream of events have in common.
struct Shared {
    link: Link,
    cache: Cache,
    scope: Scope,
    /// Held while a network is looked up and made.
    network_creation: tokio::sync::Mutex<()>,
}

impl Shared {
    fn new(addresses: Vec<Address>, scope: Option<String>) -> Shared {
        Shared {
            link: Link::new(addresses),
            cache: Cache::default(),
            scope: Scope::new(scope),
            network_creation: tokio::sync::Mutex::new(()),
        }
    }
}

impl DockerEngine {
    /// An engine at an address of the form `unix:///path`. Nothing is asked yet: an engine that is away now is found when
    /// it comes. With a `scope`, everything made carries the label `io.holdfast.scope=<scope>` and only such objects are
    /// seen; without one, objects that carry the label are not seen.
    pub fn connect(address: &str, scope: Option<String>) -> Result<DockerEngine> {
        DockerEngine::connect_any(&[address], scope)
    }

    /// An engine at the first of these addresses that answers, looked for at each new contact.
    pub fn connect_any(addresses: &[&str], scope: Option<String>) -> Result<DockerEngine> {
        let addresses = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<Address>>>()?;
        Ok(DockerEngine { shared: Arc::new(Shared::new(addresses, scope)) })
    }
}

#[async_trait::async_trait]
impl Engine for DockerEngine {
    async fn describe(&self) -> Result<EngineInfo> {
        let link = &self.shared.link;
        // Whether it is there at all is the client's to say; the types it has for the two answers are a twentieth of all of
        // its code, for four fields.
        link.call("the engine", LOOK_LIMIT, |docker: Docker| async move { docker.ping().await }).await?;
        let version = raw::get(link, "the engine's version", "/version", LOOK_LIMIT).await?;
        let info = raw::get(link, "the engine's description", "/info", LOOK_LIMIT).await?;
        let connected = link.connected().await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(EngineInfo {
            name: product(&version, text(&info["InitBinary"])).to_owned(),
            version: text(&version["Version"]),
            api_version: connected.api_version(),
            address: connected.address,
            data_root: Some(text(&info["DockerRootDir"])).filter(|path| !path.is_empty()),
        })
    }

    async fn observe(&self) -> Result<EngineState> {
        self.shared.observe().await
    }

    fn forget_cache(&self) {
        self.shared.cache.clear();
    }

    async fn events(&self) -> Result<Events> {
        events::events(Arc::clone(&self.shared)).await
    }

    async fn pull(&self, image: &ImageRef, auth: Option<&RegistryAuth>, progress: Progress) -> Result<Image> {
        self.shared.pull(image, auth, progress).await
    }

    async fn remove_image(&self, image: &ImageRef) -> Result<()> {
        self.shared.remove_image(image).await
    }

    async fn remove_image_by_id(&self, id: &str) -> Result<()> {
        self.shared.remove_image_by_id(id).await
    }

    async fn layers(&self) -> Result<BTreeSet<String>> {
        self.shared.layers().await
    }

    async fn create_network(&self, name: &str, network: &NetworkSpec, app: AppId) -> Result<()> {
        self.shared.create_network(name, network, app).await
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        self.shared.remove_network(id).await
    }

    async fn create_volume(&self, name: &str, volume: &VolumeSpec, app: &AppUuid) -> Result<()> {
        self.shared.create_volume(name, volume, app).await
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.shared.remove_volume(name).await
    }

    async fn read_volume(&self, name: &str, image: &str) -> Result<Content> {
        copies::read(&self.shared, name, image).await
    }

    async fn write_volume(&self, name: &str, image: &str, content: Content) -> Result<()> {
        copies::write(&self.shared, name, image, content).await
    }

    async fn empty_volume(&self, volume: &Volume) -> Result<()> {
        self.shared.empty_volume(volume).await
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>> {
        self.shared.volume_sizes().await
    }

    async fn sweep_copies(&self) -> Result<()> {
        self.shared.sweep_copies().await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String> {
        self.shared.create_container(spec).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.shared.start_container(id).await
    }

    async fn stop_container(&self, id: &str) -> Result<()> {
        self.shared.stop_container(id).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.shared.remove_container(id).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        self.shared.rename_container(id, name).await
    }

    async fn set_restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<()> {
        self.shared.set_restart_policy(id, policy).await
    }
}

/// The engine's product name: its components tell Podman, its init program tells balenaEngine, which otherwise calls itself
/// Docker.
fn product(version: &Value, init_binary: String) -> &'static str {
    let components = version["Components"].as_array().into_iter().flatten();
    let names = components.chain([&version["Platform"]]).filter_map(|named| named["Name"].as_str());
    let words: Vec<String> = names.chain([init_binary.as_str()]).map(str::to_lowercase).collect();
    let says = |word: &str| words.iter().any(|text| text.contains(word));
    if says("podman") {
        "Podman"
    } else if says("balena") {
        "balenaEngine"
    } else {
        "Docker"
    }
}
