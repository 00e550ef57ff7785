//! What can go wrong with the engine.

/// An error of the engine: which object, what happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers: the agent waits and tries again; containers go on without it.
    #[error("the engine at {address} does not answer: {cause}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What happened.
        cause: String,
    },
    /// The object is not there.
    #[error("{object}: not found: {message}")]
    NotFound {
        /// For example `image localhost:5000/v2/ab@sha256:…`.
        object: String,
        /// The engine's words.
        message: String,
    },
    /// The object is in use or its name is taken.
    #[error("{object}: conflict: {message}")]
    Conflict {
        /// Which object.
        object: String,
        /// The engine's words.
        message: String,
    },
    /// The engine refused or failed.
    #[error("{object}: {message}")]
    Failed {
        /// Which object.
        object: String,
        /// The engine's words, with a hint where one is known (for example a wrong architecture).
        message: String,
    },
    /// The engine took longer than a call may take.
    #[error("{object}: the engine did not answer within {seconds} s")]
    TimedOut {
        /// Which object.
        object: String,
        /// The limit.
        seconds: u64,
    },
}

impl EngineError {
    /// Whether the engine as a whole is away, so that nothing else needs to be tried now.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, EngineError::Unreachable { .. })
    }

    /// Whether the engine's disk is full, by the system's own words for it.
    pub fn is_no_space(&self) -> bool {
        match self {
            EngineError::NotFound { message, .. }
            | EngineError::Conflict { message, .. }
            | EngineError::Failed { message, .. } => message.to_ascii_lowercase().contains("no space left on device"),
            EngineError::Unreachable { .. } | EngineError::TimedOut { .. } => false,
        }
    }
}
