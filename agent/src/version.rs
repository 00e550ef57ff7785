//! The version the agent goes by.

/// The agent's own version. What it is compatible with is [`crate::cloud::SUPERVISOR_COMPATIBLE_VERSION`].
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");
