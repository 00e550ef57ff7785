//! Whoever watches the simulated engine: told of every change, with the picture after it.

use holdfast_plan::container::RestartPolicy;
use holdfast_plan::current::{Container, EngineState};

/// One change. Containers are shown as they were right after it (removed ones as they were right before).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variant's own sentence covers its fields")]
pub enum Mutation {
    /// An image was pulled.
    ImagePulled { reference: String, id: String },
    /// An image lost its references in a repository; `gone` when none was left.
    ImageRemoved { reference: String, id: String, gone: bool },
    /// A network was made.
    NetworkCreated { id: String, name: String },
    /// A network was removed.
    NetworkRemoved { id: String, name: String },
    /// A volume was made.
    VolumeCreated { name: String },
    /// A volume was removed with its data.
    VolumeRemoved { name: String },
    /// A container was made.
    ContainerCreated(Box<Container>),
    /// A container was started by a call.
    ContainerStarted(Box<Container>),
    /// A container was told to stop by a call; it still runs.
    ContainerStopping(Box<Container>),
    /// A container ended because it was told to.
    ContainerStopped(Box<Container>),
    /// A container ended by itself, or the engine took it down.
    ContainerDied(Box<Container>),
    /// The engine started a container again, by its restart policy.
    ContainerRestarted(Box<Container>),
    /// The verdict of a health check changed.
    HealthChanged(Box<Container>),
    /// A container was removed.
    ContainerRemoved(Box<Container>),
    /// A container got another name.
    ContainerRenamed { container: Box<Container>, from: String },
    /// A container got another restart policy.
    PolicyChanged { container: Box<Container>, from: RestartPolicy },
}

/// Checks invariants as they could break. Called outside of every lock of the engine, before the call that made the change
/// returns, and in the order of the changes.
pub trait Observer: Send + Sync {
    /// Something changed.
    fn changed(&self, mutation: &Mutation, after: &EngineState);
}
