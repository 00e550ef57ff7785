//! What stands in for the world: a cloud, a registry with images, a fleet, an engine and a host, all inside this process.
//!
//! The demo shows the agent with them where nothing is set up, the suites and the simulation test it with them. The engine
//! and the host keep no thread, no file and no clock of their own, so they work under paused time and replay from a seed;
//! the cloud and the registry are real servers on 127.0.0.1 and belong in no simulation.

pub mod cloud;
pub mod demo;
pub mod engine;
pub mod faults;
pub mod fleet;
pub mod host;
pub mod listener;
pub mod program;
pub mod registry;
pub mod simulation;
pub mod socket;
