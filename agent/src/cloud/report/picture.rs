//! What a report is derived from.

use std::collections::BTreeSet;

use holdfast_plan::current::Current;
use holdfast_plan::memory::Memory;
use holdfast_plan::plan::Step;
use holdfast_plan::target::{AppUuid, DeviceTarget};

/// A step that runs right now.
#[derive(Clone, Copy, Debug)]
pub struct InFlight<'a> {
    /// The step.
    pub step: &'a Step,
    /// Percent, for a pull.
    pub progress: Option<u8>,
}

/// One round as the report sees it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// What is wanted: nothing else is reported.
    pub target: &'a DeviceTarget,
    /// What is there.
    pub current: &'a Current,
    /// What is remembered: settled releases and images.
    pub memory: &'a Memory,
    /// Apps whose wanted release was rejected: it failed its trial, or its contracts are not met (protocol §6.3).
    pub rejected: &'a BTreeSet<AppUuid>,
    /// What is being done.
    pub in_flight: &'a [InFlight<'a>],
}
