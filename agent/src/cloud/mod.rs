//! The cloud: the poll for the target, the report of the current state, the stream of messages, and the one HTTP client.
//!
//! Three loops, [`Poller`], [`report::Reporter`] and [`logs::LogStreamer`], that end when a channel of theirs closes or the
//! shutdown watch fires. They are woken by their own timers and by what their channels bring, by nothing else. The first
//! two make their calls through the trait [`Cloud`], which [`Client`] is over HTTP; the third through
//! [`logs::LogTransport`], which [`Client::log_upload`] gives.

mod body;
mod call;
mod calls;
mod client;
mod error;
pub mod logs;
mod poll;
pub mod provision;
mod registry_host;
pub mod report;
mod retry;
mod tags;
mod timing;
mod user_agent;
mod view;

pub use call::Timeouts;
pub use calls::{Cloud, DeviceTag, Report, TargetAnswer};
pub use client::{BODY_LIMIT_BYTES, Client, ClientSettings};
pub use error::CloudError;
pub use poll::{Arrived, PollLinks, PollSettings, Poller};
pub use registry_host::registry_host_is_ours;
pub use retry::{LONGEST_RETRY_AFTER, Retry};
pub use tags::{REPORTED_TAGS, TARGET_TAGS, TagChange, TagReporter};
pub use timing::Timing;
pub use user_agent::SUPERVISOR_COMPATIBLE_VERSION;
pub use view::{CloudView, PollNow, Provisioning};
