//! The function between what is wanted and what is there.

mod reason;
mod step;

pub use reason::{Reason, Wait};
pub use step::{Action, Step};

use serde::Serialize;

use crate::current::Current;
use crate::facts::Facts;
use crate::memory::Memory;
use crate::policy::{Now, Policy};
use crate::target::DeviceTarget;

/// What to do now, what is waited for, and when to look again without an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Steps that may all run at once, now.
    pub steps: Vec<Step>,
    /// What is not done now, each with its reason.
    pub waiting: Vec<Wait>,
    /// When the plan may change without an event, ms since boot.
    pub wake_boot_ms: Option<i64>,
}

impl Plan {
    /// Nothing to do and nothing waited for: the device is at its target.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_empty()
    }
}

/// Everything a round of planning may look at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is there.
    pub current: &'a Current,
    /// What is wanted.
    pub target: &'a DeviceTarget,
    /// What is remembered.
    pub memory: &'a Memory,
    /// What is known of the device.
    pub facts: &'a Facts,
    /// What is allowed.
    pub policy: &'a Policy,
    /// What time it is.
    pub now: Now,
}
