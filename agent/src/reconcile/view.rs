//! What the loop shows to everybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_plan::current::Current;
use holdfast_plan::facts::Facts;
use holdfast_plan::memory::Memory;
use holdfast_plan::plan::{Plan, Step};
use holdfast_plan::policy::Policy;
use holdfast_plan::target::{AppId, AppUuid, DeviceTarget};
use serde::Serialize;

use super::keyring::Keyring;
use crate::engine::EngineInfo;
use crate::host::DeviceInfo;

/// What the loop is at, in one word (and a reason where it needs one).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// Nothing has been looked at yet.
    #[default]
    Starting,
    /// No target was ever stored.
    NoTarget,
    /// Another supervisor owns this engine, or the like: nothing is changed.
    WatchOnly {
        /// Why.
        why: String,
    },
    /// Steps are running.
    Applying,
    /// Nothing can be done now; the plan says what is waited for.
    Waiting,
    /// The device is at its target.
    Settled,
    /// The engine does not answer; containers go on, the agent keeps trying.
    EngineAway {
        /// The error.
        error: String,
        /// Since when, ms since boot.
        since_boot_ms: i64,
    },
}

/// A step that is being carried out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Doing {
    /// The step.
    pub step: Step,
    /// Since when, ms since boot.
    pub since_boot_ms: i64,
    /// Percent, for a pull.
    pub progress: Option<u8>,
}

/// Something that is wrong and a person should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What it hit: `engine`, `database`, `config.json`, `app NAME`, …
    pub subject: String,
    /// What happened, with its cause chain, what the agent does next and what a person can do.
    pub message: String,
}

/// A consistent picture of one round.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the loop is at.
    pub phase: Phase,
    /// The engine, once it answered.
    pub engine: Option<EngineInfo>,
    /// The target in force.
    pub target: Option<Arc<DeviceTarget>>,
    /// Where that came from: `apiEndpoint` or `local`.
    pub source: Option<String>,
    /// What was there when it looked last.
    pub current: Arc<Current>,
    /// What it remembers.
    pub memory: Arc<Memory>,
    /// Facts it planned with.
    pub facts: Arc<Facts>,
    /// Apps whose wanted release does not run here: it failed its trial, or its contracts are not met.
    pub rejected: Arc<BTreeSet<AppUuid>>,
    /// Policy it planned with.
    pub policy: Arc<Policy>,
    /// Its last plan.
    pub plan: Arc<Plan>,
    /// The device as the host describes it.
    pub device: Arc<DeviceInfo>,
    /// Rounds since the agent started.
    pub rounds: u64,
    /// Steps running now.
    pub doing: Vec<Doing>,
    /// Keys of the local API.
    pub keys: Arc<Keyring>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl View {
    /// The name of an app: its number where the target does not tell.
    pub fn app_name(&self, id: AppId) -> String {
        let app = self.target.as_deref().and_then(|target| target.app(id));
        app.map_or_else(|| format!("app {id}"), |app| app.name.clone())
    }
}
