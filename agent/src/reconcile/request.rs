//! What others ask of the loop.

use std::sync::Arc;

use holdfast_plan::target::DeviceTarget;
use tokio::sync::oneshot;

use super::{HoldRequest, HostOrder, OrderError};
use crate::store::KeyOwner;

/// A target with where it came from.
#[derive(Clone, Debug)]
pub struct TargetInForce {
    /// The target, parsed.
    pub target: Arc<DeviceTarget>,
    /// `apiEndpoint` or `local`.
    pub source: String,
}

/// A request to the loop.
#[derive(Debug)]
pub enum Request {
    /// Look now; with `force` break update locks until the app in question is settled.
    Look {
        /// Who asks, for the log.
        from: String,
        /// Break locks.
        force: bool,
        /// Give up what is being downloaded and plan anew.
        cancel: bool,
    },
    /// Do something to the host, under the locks of all apps.
    Host {
        /// Who asks, for the log.
        from: String,
        /// Break locks.
        force: bool,
        /// What.
        order: HostOrder,
        /// Where the outcome goes.
        reply: oneshot::Sender<Result<(), OrderError>>,
    },
    /// Make a new key of the local API in the place of one that is there; the old one is invalid at once.
    NewKey {
        /// Who asks, for the log.
        from: String,
        /// Whose key.
        owner: KeyOwner,
        /// Where the new key goes, or why there is none.
        reply: oneshot::Sender<Result<String, String>>,
    },
    /// Keep a volume from its services until the one who asks lets go of it.
    Hold(HoldRequest),
}
