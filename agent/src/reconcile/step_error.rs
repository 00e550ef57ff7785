//! Why a step failed.

use crate::engine::EngineError;
use crate::host::HostError;
use crate::policy::Shortage;

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum StepError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The disk has no room for a download.
    #[error(transparent)]
    NoSpace(#[from] Shortage),
}

impl StepError {
    /// Whether the disk is full, or would be.
    pub fn is_no_space(&self) -> bool {
        match self {
            StepError::NoSpace(_) => true,
            StepError::Engine(error) => error.is_no_space(),
            StepError::Host(_) => false,
        }
    }
}
