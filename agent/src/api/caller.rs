//! Who asks, and what they may reach.

use holdfast_plan::target::AppId;

/// The label with which a service's key reaches the device as a whole. Elsewhere any service may restart the device it runs on;
/// here that is the fleet owner's to say.
pub(super) const HOST_CONTROL: &str = "io.balena.features.host-control";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody who can open the unix socket, or who has the global key.
    Operator,
    /// A service, by its key.
    Service {
        /// Whose it is.
        app: AppId,
        /// Its name.
        service: String,
        /// Whether it carries the label [`HOST_CONTROL`].
        controls_host: bool,
    },
    /// Somebody without a key that is known.
    Nobody,
}

impl Caller {
    /// Whether an app is theirs to see and to act on.
    pub fn may_touch(&self, app: AppId) -> bool {
        match self {
            Caller::Operator => true,
            Caller::Service { app: own, .. } => *own == app,
            Caller::Nobody => false,
        }
    }
}
