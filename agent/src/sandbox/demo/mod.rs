//! `holdfast demo`: the whole main job on this machine with nothing set up.
//!
//! An embedded cloud asks for the sample fleet, the real agent runs as a child process against it, and every stage that is
//! shown is checked, from outside, against the agent's local API and the reports the cloud received.

mod agent;
mod choice;
mod docker;
mod folder;
mod narrator;
mod picture;
mod story;

pub use choice::EngineChoice;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cloud::EmbeddedCloud;
use super::fleet::{self, Images, SampleRelease};
use super::program::Machine;
use super::registry::{EmbeddedRegistry, Recipe, build};
use agent::{Agent, Start};
use choice::{Chosen, choose};
use folder::Folder;
use narrator::Narrator;
use story::Story;

/// What the demo is asked for.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// On which engine.
    pub engine: EngineChoice,
    /// End when settled instead of leaving the local API up.
    pub exit: bool,
    /// Print one JSON object a line.
    pub json: bool,
    /// The agent's binary; `None` is this one.
    pub program: Option<PathBuf>,
}

/// How long the engine has for the clean-up of everything.
const CLEAN_LIMIT: Duration = Duration::from_secs(90);

/// Everything the demo has to take down again.
struct Stage {
    scope: String,
    uuid: String,
    registry: EmbeddedRegistry,
    cloud: EmbeddedCloud,
    folder: Option<Folder>,
    agent: Option<Agent>,
    chosen: Option<Chosen>,
}

/// Runs the demo; true when everything it showed came true. What went wrong was printed.
///
/// # Errors
/// When not even its own parts can be set up.
pub async fn run(options: DemoOptions) -> Result<bool> {
    let narrator = Narrator::new(options.json);
    let text = "holdfast demo: a sample fleet from first install to settled update, on this machine only";
    narrator.done("start", text, json!({ "pid": std::process::id() }));
    let mut interrupts = Interrupts::new()?;
    let mut stage = Stage::new()?;
    let told = tokio::select! {
        biased;
        () = interrupts.next() => Err(anyhow::anyhow!("interrupted")),
        told = stage.play(&options, &narrator) => told,
    };
    match &told {
        Ok(()) if !options.exit => stage.stay(&narrator, &mut interrupts).await,
        Ok(()) => {}
        Err(e) => narrator.failed("end", &format!("the demo did not come to its end: {}", first_line(e))),
    }
    let cleaned = stage.clean(&narrator).await;
    if told.is_ok() && cleaned {
        narrator.done("end", "everything shown came true", Value::Null);
    }
    Ok(told.is_ok() && cleaned)
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

impl Stage {
    fn new() -> Result<Stage> {
        let mut rng = fastrand::Rng::new();
        let mut hex = || format!("{:016x}{:016x}", rng.u64(..), rng.u64(..));
        let (uuid, key, mark) = (hex(), hex(), hex());
        let scope = format!("demo-{}-{}", std::process::id(), &mark[..6]);
        let folder = Folder::create(&format!("holdfast-{scope}")).context("cannot make the demo's temporary folder")?;
        let registry = EmbeddedRegistry::start().context("cannot start the embedded registry")?;
        let cloud = EmbeddedCloud::start(&uuid, &key).context("cannot start the embedded cloud")?;
        let config = json!({
            "apiEndpoint": cloud.endpoint(), "uuid": uuid, "deviceApiKey": key, "deviceId": 1, "applicationId": fleet::APP_ID,
            "deviceType": "generic-amd64", "registered_at": 1
        });
        folder.write_config(&config).with_context(|| format!("cannot write {}", folder.config().display()))?;
        Ok(Stage { scope, uuid, registry, cloud, folder: Some(folder), agent: None, chosen: None })
    }

    async fn play(&mut self, options: &DemoOptions, narrator: &Narrator) -> Result<()> {
        let chosen = match choose(options.engine, &self.registry).await {
            Ok(chosen) => chosen,
            Err(e) => {
                narrator.failed("engine", &format!("{e:#}"));
                return Err(e);
            }
        };
        let kind = if chosen.docker.is_some() { "docker" } else { "sim" };
        let details = json!({ "engine": kind, "name": chosen.name(), "why": chosen.why });
        narrator.done("engine", &format!("the engine is {} ({})", chosen.name(), chosen.why), details);
        let machine = chosen.docker.as_ref().map(|docker| docker.machine).or_else(Machine::own).unwrap_or(Machine::X86_64);
        let images = self.stock(machine);
        self.cloud.set_target(fleet::target(&self.uuid, SampleRelease::First, &images));
        let text =
            format!("an embedded cloud listens at {} and a registry at {}", self.cloud.endpoint(), self.registry.address());
        narrator.done("cloud", &text, json!({ "cloud": self.cloud.endpoint(), "registry": self.registry.address().to_string() }));
        let Stage { scope, uuid, cloud, folder, agent, chosen: kept, .. } = self;
        let chosen = kept.insert(chosen);
        let Some(folder) = folder else { bail!("the demo's folder is gone") };
        let engine = chosen.docker.as_ref().map_or_else(|| "sim:".into(), |docker| docker.address());
        let program = program(options.program.as_deref())?;
        let agent = agent.insert(Agent::start(&Start { program: &program, engine: &engine, scope, folder })?);
        let docker = chosen.docker.as_ref().map(|docker| (docker, scope.as_str()));
        Story { narrator, cloud, agent, uuid, images: &images, docker, locks: folder.locks() }.tell().await
    }

    /// Puts the images of both releases into the registry.
    fn stock(&self, machine: Machine) -> Images {
        let image = |service: &str, version: &str| {
            let built = build(&Recipe::program(machine, service, version));
            self.registry.add(&fleet::repository(service), "latest", &built)
        };
        fleet::versions().into_iter().map(|(s, v)| ((s.to_owned(), v.to_owned()), image(s, v))).collect()
    }

    /// Leaves the local API up until Ctrl-C, or until the agent ends.
    async fn stay(&mut self, narrator: &Narrator, interrupts: &mut Interrupts) {
        let (Some(folder), Some(agent)) = (&self.folder, &mut self.agent) else { return };
        let socket = folder.socket();
        let text = format!("the agent stays up until Ctrl-C; look at it with: holdfast status --socket {}", socket.display());
        narrator.done("up", &text, json!({ "socket": socket, "log": folder.log() }));
        loop {
            tokio::select! {
                () = interrupts.next() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => if let Err(e) = agent.check_alive() {
                    narrator.failed("up", &format!("{e:#}"));
                    return;
                },
            }
        }
    }

    /// Takes everything down: the agent, what it made in the engine, the folder.
    async fn clean(&mut self, narrator: &Narrator) -> bool {
        let mut left = Vec::new();
        if let Some(agent) = &mut self.agent {
            match agent.end().await {
                Ok(Some(status)) if status.success() => {}
                Ok(Some(status)) => {
                    left.push(format!("the agent ended with {status}; the end of its log:\n{}", agent.log_tail()))
                }
                Ok(None) => left.push(format!("the agent had to be killed; the end of its log:\n{}", agent.log_tail())),
                Err(e) => left.push(format!("the agent: {e:#}")),
            }
        }
        if let Some(docker) = self.chosen.as_ref().and_then(|chosen| chosen.docker.as_ref()) {
            let registry = self.registry.address().to_string();
            match tokio::time::timeout(CLEAN_LIMIT, docker.clean(&self.scope, &registry)).await {
                Ok(more) => left.extend(more),
                Err(_) => left.push(format!("the engine did not finish the clean-up within {} s", CLEAN_LIMIT.as_secs())),
            }
        }
        if let Some(folder) = self.folder.take()
            && let Err(e) = folder.remove()
        {
            left.push(format!("{}: {e}", folder.root().display()));
        }
        if left.is_empty() {
            narrator.done("clean", "cleaned up: nothing of the demo is left", Value::Null);
        } else {
            narrator.failed("clean", &left.join("; "));
        }
        left.is_empty()
    }
}

fn program(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => std::env::current_exe().context("cannot find this program's own binary"),
    }
}

/// Ctrl-C and its relatives.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> Result<Interrupts> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Interrupts([on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
