//! What is there: the engine's objects, the update locks of this round, and the steps in flight.

mod engine;
mod host;
mod locks;

pub use engine::{Container, ContainerState, EngineState, Health, Image, Network, Volume};
pub use host::{BootFile, HostState};
pub use locks::{LockHolder, Locks, ServiceLock};

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything one round of planning sees of the present.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Current {
    /// Objects of the engine.
    pub engine: EngineState,
    /// Update locks, observed this round and never remembered.
    pub locks: Locks,
    /// The device below the containers.
    pub host: HostState,
    /// Keys of the steps that run right now ([`crate::plan::Step::key`]) with their progress in percent, where known.
    pub in_flight: BTreeMap<String, Option<u8>>,
}
