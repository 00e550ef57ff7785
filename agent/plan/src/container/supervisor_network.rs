//! The network between the agent and the services that may call its API (behaviour §5).

/// Its name, in the engine and as a bridge of the host.
pub const SUPERVISOR_NETWORK: &str = "supervisor0";

/// Its addresses.
pub const SUPERVISOR_SUBNET: &str = "10.114.104.0/25";

/// The host's address on it: there the local API answers.
pub const SUPERVISOR_GATEWAY: &str = "10.114.104.1";
