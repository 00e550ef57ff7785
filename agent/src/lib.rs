//! holdfast, the agent: a library so that suites and benches can reach in, one binary for the device.
//!
//! Six loops run in one thread and know each other only through channels, which `app` sets up:
//!
//! | loop | reads | tells |
//! |---|---|---|
//! | `cloud::poll` | the cloud, requests to poll now | stores a new target, then says that it arrived; how the connection is |
//! | `reconcile` | targets, requests, the engine, the lock folders, its own plan's wake-up time | a picture of each round; events in words |
//! | `cloud::report` | what is to be reported, derived from the picture | how reporting goes |
//! | `cloud::logs` | events | nobody: it ends in the cloud's log stream |
//! | `app::record` | pictures, events | nobody: it ends in the store, as history |
//! | `api` | pictures, the store | requests to poll, to look and to act; where it listens over TCP follows the pictures |
//!
//! ```text
//!            arrived             picture ─▶ app::picture ─▶ report ─▶ cloud
//! cloud ─▶ poll ─▶ app::forward ─▶ reconcile ─┤
//!            ▲            ▲           │       └─▶ api ─▶ command line, applications
//!            └── poll now ┴─ look ────┼───────────┘
//!                                     └─ events ─▶ logs ─▶ cloud; record ─▶ store
//! ```
//!
//! Only `reconcile` touches containers. It decides nothing itself: `holdfast_plan` does, and has no way to act. A writer
//! thread owns the database (`store`). Everything is level-triggered: a message says that something may have changed,
//! never what to do about it.
//!
//! Before the loops begin, `import` takes over what an earlier agent or the device's image left.
//!
//! Rooms lie in floors and use only what is below: `cli` › `app`, `client` › `api`, `sandbox` › `reconcile`, `import` ›
//! `cloud`, `engine`, `store`, `lock`, `host`, `policy`, `volume` › `settings` › `holdfast_plan`.

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
pub mod import;
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
pub mod volume;
