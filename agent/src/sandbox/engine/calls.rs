//! The simulated engine behind the agent's own trait.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt;
use holdfast_plan::container::{ContainerSpec, RestartPolicy};
use holdfast_plan::current::{EngineState, Image, Volume};
use holdfast_plan::target::{AppId, AppUuid, ImageRef, NetworkSpec, VolumeSpec};
use tokio::time::Instant;

use super::world::World;
use super::{ADDRESS, SimEngine};
use crate::engine::{
    Content, Engine, EngineError, EngineEvent, EngineInfo, Events, LogLines, LogRange, Progress, RegistryAuth, Result,
};
use crate::usage::ContainerUsage;

/// How much of a volume is handed over at a time.
const PIECE_BYTES: usize = 700;

/// In how many pieces a pull proceeds.
const PULL_PIECES: u32 = 20;

impl SimEngine {
    /// One call that is done at once.
    async fn call<T>(&self, name: &'static str, object: &str, effect: impl FnOnce(&mut World) -> Result<T> + Send) -> Result<T> {
        let reply = self.enter(name, object).await?;
        let result = self.with(effect);
        reply.hand_over(object, result).await
    }

    /// A container's name for messages and fault rules, which are written before ids are known.
    fn label(&self, id: &str) -> String {
        self.with(|world| {
            world.find(id).map_or_else(|| format!("container {id}"), |held| format!("container {}", held.spec.name))
        })
    }
}

/// Counts running pulls; an abandoned one is taken off too.
struct Running<'a>(&'a SimEngine);

impl<'a> Running<'a> {
    fn new(engine: &'a SimEngine) -> Running<'a> {
        engine.with(|world| world.pulls_running += 1);
        Running(engine)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(|world| world.pulls_running -= 1);
    }
}

#[async_trait::async_trait]
impl Engine for SimEngine {
    async fn describe(&self) -> Result<EngineInfo> {
        let info = EngineInfo {
            name: "simulated".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            api_version: "1.41".into(),
            address: ADDRESS.into(),
            data_root: None,
        };
        self.call("describe", "engine", |_| Ok(info)).await
    }

    async fn observe(&self) -> Result<EngineState> {
        self.call("observe", "engine", |world| Ok(world.snapshot())).await
    }

    fn forget_cache(&self) {}

    async fn events(&self) -> Result<Events> {
        let reply = self.enter("events", "engine").await?;
        reply.hand_over("engine", Ok(())).await?;
        Ok(self.stream())
    }

    async fn pull(&self, image: &ImageRef, auth: Option<&RegistryAuth>, progress: Progress) -> Result<Image> {
        let object = format!("image {image}");
        let reply = self.enter("pull", &object).await?;
        let running = Running::new(self);
        let authenticated = auth.is_some();
        let entry = self.with(|world| world.check_pull(image, authenticated, 0.0))?;
        let present = self.with(|world| world.resolve_image(&image.to_string()).is_some());
        for piece in 1..=if present { 0 } else { PULL_PIECES } {
            tokio::time::sleep(entry.duration / PULL_PIECES).await;
            self.still_there()?;
            let part = f64::from(piece) / f64::from(PULL_PIECES);
            self.with(|world| world.check_pull(image, authenticated, part))?;
            progress(u8::try_from(piece * 100 / PULL_PIECES).unwrap_or(100));
        }
        if present {
            progress(100);
        }
        let pulled = self.with(|world| world.finish_pull(image, entry));
        drop(running);
        reply.hand_over(&object, Ok(pulled)).await
    }

    async fn remove_image(&self, image: &ImageRef) -> Result<()> {
        self.call("remove_image", &format!("image {image}"), |world| world.remove_image(image)).await
    }

    async fn remove_image_by_id(&self, id: &str) -> Result<()> {
        self.call("remove_image_by_id", &format!("image {id}"), |world| world.remove_image_by_id(id)).await
    }

    async fn layers(&self) -> Result<BTreeSet<String>> {
        self.call("layers", "engine", |world| Ok(world.layers())).await
    }

    async fn create_network(&self, name: &str, network: &NetworkSpec, app: AppId) -> Result<()> {
        self.call("create_network", &format!("network {name}"), |world| world.create_network(name, network, app)).await
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        self.call("remove_network", &format!("network {id}"), |world| world.remove_network(id)).await
    }

    async fn create_volume(&self, name: &str, volume: &VolumeSpec, app: &AppUuid) -> Result<()> {
        self.call("create_volume", &format!("volume {name}"), |world| world.create_volume(name, volume, app)).await
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.call("remove_volume", &format!("volume {name}"), |world| world.remove_volume(name)).await
    }

    async fn read_volume(&self, name: &str, _image: &str) -> Result<Content> {
        let whole = self.call("read_volume", &format!("volume {name}"), |world| world.content(name)).await?;
        let pieces: Vec<_> = whole.chunks(PIECE_BYTES).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(futures_util::stream::iter(pieces).boxed())
    }

    async fn write_volume(&self, name: &str, _image: &str, mut content: Content) -> Result<()> {
        let object = format!("volume {name}");
        let mut whole = Vec::new();
        while let Some(piece) = content.next().await {
            let piece = piece.map_err(|cause| EngineError::Failed { object: object.clone(), message: cause.to_string() })?;
            whole.extend_from_slice(&piece);
        }
        self.call("write_volume", &object, |world| world.write_content(name, whole)).await
    }

    async fn empty_volume(&self, volume: &Volume) -> Result<()> {
        self.call("empty_volume", &format!("volume {}", volume.name), |world| world.empty_volume(volume)).await
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>> {
        let sizes = |world: &mut World| {
            let names: Vec<String> = world.volumes.keys().cloned().collect();
            names.into_iter().map(|name| Ok((name.clone(), world.content(&name)?.len() as u64))).collect()
        };
        self.call("volume_sizes", "volumes", sizes).await
    }

    async fn sweep_copies(&self) -> Result<()> {
        self.call("sweep_copies", "copies", |_| Ok(())).await
    }

    async fn logs(&self, id: &str, range: &LogRange) -> Result<LogLines> {
        self.call("logs", &self.label(id), |_| Ok(())).await?;
        Ok(self.log_lines(id, *range))
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String> {
        self.call("create_container", &format!("container {}", spec.name), |world| world.create_container(spec)).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.call("start_container", &self.label(id), |world| world.start_container(id, Instant::now())).await
    }

    async fn stop_container(&self, id: &str) -> Result<()> {
        let object = self.label(id);
        let reply = self.enter("stop_container", &object).await?;
        // The signal is sent: whoever abandons the call now does not keep the container.
        if let Some(ended) = self.with(|world| world.tell_to_stop(id, Instant::now())) {
            tokio::time::sleep_until(ended).await;
            self.with(|_| ());
        }
        reply.hand_over(&object, Ok(())).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.call("remove_container", &self.label(id), |world| world.remove_container(id)).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        self.call("rename_container", &self.label(id), |world| world.rename_container(id, name)).await
    }

    async fn usage(&self, id: &str) -> Result<ContainerUsage> {
        self.call("usage", &self.label(id), |world| world.usage(id, Instant::now())).await
    }

    async fn set_restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<()> {
        self.call("set_restart_policy", &self.label(id), |world| world.set_policy(id, policy)).await
    }
}

/// Where an event stream stands.
struct Listening {
    engine: SimEngine,
    seen: tokio::sync::watch::Receiver<u64>,
    connection: u64,
    closed: bool,
}

impl SimEngine {
    pub(super) fn stream(&self) -> Events {
        let listening = Listening {
            seen: self.shared.changed.subscribe(),
            connection: self.with(|world| world.connection),
            engine: self.clone(),
            closed: false,
        };
        futures_util::stream::unfold(listening, Listening::next).boxed()
    }
}

impl Listening {
    /// Waits for a change, or lets time bring one about. No task of its own: time stands still where nobody listens.
    async fn next(mut self) -> Option<(EngineEvent, Listening)> {
        if self.closed {
            return None;
        }
        loop {
            let (connection, due) = self.engine.with(|world| (world.connection, world.next_event()));
            if connection != self.connection {
                self.closed = true;
                return Some((EngineEvent::Closed, self));
            }
            if self.seen.has_changed().unwrap_or(false) {
                self.seen.mark_unchanged();
                return Some((EngineEvent::Changed, self));
            }
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.seen.changed() => if changed.is_ok() {
                    // Seen by waiting already; the connection is looked at first.
                    self.seen.mark_changed();
                } else {
                    return None;
                },
                () = sleep => {}
            }
        }
    }
}
