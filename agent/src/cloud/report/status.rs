//! The words for what a service and a release are at (protocol §6.3).

use holdfast_plan::current::ContainerState;

/// What a service is at. `word` is the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// Its image is being downloaded or has yet to be; percent.
    Downloading(u8),
    /// Its image is there, its container is not.
    Downloaded,
    /// Its container is being made.
    Installing,
    /// Its container was made and never started.
    Installed,
    /// Its container is being started.
    Starting,
    /// It runs.
    Running,
    /// Its container is being stopped.
    Stopping,
    /// It is the old one of a hand-over.
    HandingOver,
    /// It is the new one of a hand-over.
    AwaitingHandover,
    /// Any other state, in the engine's word.
    Engine(ContainerState),
}

impl ServiceStatus {
    /// Of a container nothing is being done to.
    pub fn at_rest(state: ContainerState) -> ServiceStatus {
        match state {
            ContainerState::Created => ServiceStatus::Installed,
            ContainerState::Running => ServiceStatus::Running,
            other => ServiceStatus::Engine(other),
        }
    }

    /// The protocol's word.
    pub fn word(self) -> &'static str {
        match self {
            ServiceStatus::Downloading(_) => "Downloading",
            ServiceStatus::Downloaded => "Downloaded",
            ServiceStatus::Installing => "Installing",
            ServiceStatus::Installed | ServiceStatus::Engine(ContainerState::Created) => "Installed",
            ServiceStatus::Starting => "Starting",
            ServiceStatus::Running | ServiceStatus::Engine(ContainerState::Running) => "Running",
            ServiceStatus::Stopping => "Stopping",
            ServiceStatus::HandingOver => "Handing over",
            ServiceStatus::AwaitingHandover => "Awaiting handover",
            ServiceStatus::Engine(ContainerState::Paused) => "paused",
            ServiceStatus::Engine(ContainerState::Restarting) => "restarting",
            ServiceStatus::Engine(ContainerState::Removing) => "removing",
            ServiceStatus::Engine(ContainerState::Exited) => "exited",
            ServiceStatus::Engine(ContainerState::Dead) => "Dead",
        }
    }

    /// What it means for its release. `wanted_running` is false for a service the target wants stopped: it is done when
    /// it is made.
    pub fn update(self, wanted_running: bool) -> UpdateStatus {
        match self {
            ServiceStatus::Downloading(_) => UpdateStatus::Downloading,
            ServiceStatus::Downloaded => UpdateStatus::Downloaded,
            ServiceStatus::Installed if !wanted_running => UpdateStatus::Done,
            ServiceStatus::Installing | ServiceStatus::Installed | ServiceStatus::AwaitingHandover => {
                UpdateStatus::ApplyingChanges
            }
            _ => UpdateStatus::Done,
        }
    }
}

/// What a release is at: the lowest of its services, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpdateStatus {
    /// The target of its app broke a rule and is not applied.
    Rejected,
    /// Images are missing.
    Downloading,
    /// All images are there, containers are not.
    Downloaded,
    /// Containers are being replaced.
    ApplyingChanges,
    /// Nothing is left to do.
    Done,
}

impl UpdateStatus {
    /// The protocol's word.
    pub fn word(self) -> &'static str {
        match self {
            UpdateStatus::Rejected => "rejected",
            UpdateStatus::Downloading => "downloading",
            UpdateStatus::Downloaded => "downloaded",
            UpdateStatus::ApplyingChanges => "applying changes",
            UpdateStatus::Done => "done",
        }
    }
}
