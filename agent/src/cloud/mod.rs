//! The cloud: the poll for the target, the report of the current state, and the one HTTP client for both.

mod view;

pub use view::{CloudView, PollNow};
