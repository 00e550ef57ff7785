//! What is asked of one app through the local API: restart, purge, stop, start (protocol §17.5).
//!
//! An order is carried out by planning, round after round, like everything else. While it is on record the app is left alone
//! but for it. What an interrupted order would leave half done is stored ([`Order::is_stored`]) and ends after the next start
//! of the agent; everything else of it is harmless when it is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::policy::Force;

/// How long an order may take, ms. After that the app is left to its target as it then is.
pub const ORDER_LIMIT_MS: i64 = 15 * 60_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Make containers anew as they were: of one service, or of all.
    Restart(Option<String>),
    /// Empty the app's volumes; its containers are made anew.
    Purge,
    /// Stop a service and keep it so.
    Stop(String),
    /// Start a service.
    Start(String),
}

impl Task {
    /// The one service it is about.
    pub fn service(&self) -> Option<&str> {
        match self {
            Task::Restart(service) => service.as_deref(),
            Task::Purge => None,
            Task::Stop(service) | Task::Start(service) => Some(service),
        }
    }

    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Task::Restart(_) => "restart",
            Task::Purge => "purge",
            Task::Stop(_) => "stop",
            Task::Start(_) => "start",
        }
    }
}

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing was done yet.
    #[default]
    Asked,
    /// What has to go is on record and goes.
    Clearing,
    /// It is gone; what belongs there comes back.
    Restoring,
}

/// An order on one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is asked for.
    pub task: Task,
    /// How far it is.
    pub stage: Stage,
    /// Containers that have to go, by engine id.
    pub containers: BTreeSet<String>,
    /// Volumes that have to go, by name, each with the time it was made: one that was made since is another. Once the app is
    /// being restored: those that could not be removed.
    pub volumes: BTreeMap<String, Option<i64>>,
    /// Whether the app comes back as it last settled, since that is what ran; otherwise as the target asks.
    pub as_settled: bool,
    /// May update locks be broken for it, and who asked? Belongs to the request and is not stored.
    #[serde(skip)]
    pub force: Option<Force>,
    /// When it is given up, ms since boot. Not stored: clocks do not survive a boot.
    #[serde(skip)]
    pub until_boot_ms: i64,
    /// When the container that is to be started was started before.
    #[serde(skip)]
    pub started_ms: Option<i64>,
}

impl Order {
    /// A new one.
    pub fn new(task: Task, force: Option<Force>, now_boot_ms: i64) -> Order {
        Order {
            task,
            stage: Stage::Asked,
            containers: BTreeSet::new(),
            volumes: BTreeMap::new(),
            as_settled: false,
            force,
            until_boot_ms: now_boot_ms.saturating_add(ORDER_LIMIT_MS),
            started_ms: None,
        }
    }

    /// Whether it outlives the agent: once something is about to go.
    pub fn is_stored(&self) -> bool {
        self.stage != Stage::Asked
    }

    /// The same order in a later run of the agent.
    #[must_use]
    pub fn resumed(self, now_boot_ms: i64) -> Order {
        Order { force: None, started_ms: None, until_boot_ms: now_boot_ms.saturating_add(ORDER_LIMIT_MS), ..self }
    }
}
