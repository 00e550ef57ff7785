//! holdfast, the agent: a library so that suites and benches can reach in, one binary for the device.

pub mod api;
pub mod app;
pub mod cli;
pub mod client;
pub mod clock;
pub mod cloud;
pub mod engine;
pub mod events;
pub mod host;
pub mod http;
pub mod lock;
pub mod log_output;
pub mod policy;
pub mod reconcile;
pub mod registry;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod settings;
pub mod store;
pub mod version;
