//! The versions the agent goes by.

/// The agent's own version.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The balena-supervisor level the agent is compatible with: what the cloud and release contracts compare against.
pub const COMPATIBLE_VERSION: &str = "19.0.5";
