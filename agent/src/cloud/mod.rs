//! The cloud: the poll for the target, the report of the current state, and the one HTTP client for both.
//!
//! Two loops, [`Poller`] and [`report::Reporter`], that end when a channel of theirs closes or the shutdown watch fires.
//! They are woken by their own timers and by what their channels bring, by nothing else. Both make their calls through
//! the trait [`Cloud`], which [`Client`] is over HTTP.

mod body;
mod calls;
mod client;
mod error;
mod poll;
mod registry_host;
pub mod report;
mod retry;
mod timing;
mod user_agent;
mod view;

pub use calls::{Cloud, Report, TargetAnswer};
pub use client::{BODY_LIMIT_BYTES, Client, ClientSettings, Timeouts};
pub use error::CloudError;
pub use poll::{Arrived, PollLinks, PollSettings, Poller};
pub use registry_host::registry_host_is_ours;
pub use retry::{LONGEST_RETRY_AFTER, Retry};
pub use timing::Timing;
pub use user_agent::SUPERVISOR_COMPATIBLE_VERSION;
pub use view::{CloudView, PollNow};
