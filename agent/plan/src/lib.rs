//! The pure planning core of holdfast.
//!
//! Everything that decides lives here and nothing that acts: what is wanted (`target`), what is there (`current`), the
//! containers a release asks for (`container`), and the function between them:
//!
//! ```text
//! plan(current, target, memory, facts, policy, now) -> Plan { steps, waiting, wake_at }
//! ```
//!
//! No clock, no file, no network, no async. The same input gives the same plan, so the plan can be tested by the
//! thousand, shown before it runs, and explained afterwards. The agent (`holdfast`) observes, calls [`plan::plan`], runs
//! the steps, and looks again; no step relies on memory of an earlier one.

pub mod boot;
pub mod container;
pub mod contract;
pub mod current;
pub mod facts;
pub mod forecast;
pub mod host_config;
pub mod memory;
pub mod order;
pub mod plan;
pub mod policy;
pub mod target;
