//! What the poll loop is connected to, and what it has to tell.

use std::sync::Arc;

use holdfast_plan::target::DeviceTarget;
use tokio::sync::{mpsc, watch};

use crate::cloud::{CloudView, PollNow};

/// What a poll has to tell: a new target, somebody who asked and now has an answer, or both.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The target that takes force, already stored; `None` when it is still the same or could not be had.
    pub target: Option<Arc<DeviceTarget>>,
    /// Where it comes from (`apiEndpoint`).
    pub source: String,
    /// Who asked for this poll and with what, if it was not the timer. Also told after a poll that failed: breaking a lock
    /// does not depend on the network.
    pub asked: Option<PollNow>,
}

/// What the loop is connected to.
pub struct PollLinks {
    /// Requests to poll now. The loop ends when all senders are gone.
    pub now: mpsc::Receiver<PollNow>,
    /// Where news go. The loop ends when the receiver is gone.
    pub arrived: mpsc::Sender<Arrived>,
    /// Where it shows how it is.
    pub view: watch::Sender<CloudView>,
    /// Ends the loop when it becomes `true` or its sender is gone.
    pub shutdown: watch::Receiver<bool>,
}
