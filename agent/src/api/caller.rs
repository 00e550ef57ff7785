//! Who asks, and what they may reach.

use std::fmt;

use holdfast_plan::target::AppId;

/// The label with which a service's key reaches the device as a whole, without what it begins with. Elsewhere any service may
/// restart the device it runs on; here that is the fleet owner's to say.
pub(super) const HOST_CONTROL: &str = "features.host-control";

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
        /// Whether it carries the label `io.balena.features.host-control`.
        controls_host: bool,
    },
    /// Somebody without a key that is known.
    Nobody,
}

impl fmt::Display for Caller {
    /// For the log: who asked, as it stands after "the".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Service { app, service, .. } => write!(f, "service {service} of app {app}"),
            Caller::Operator | Caller::Nobody => f.write_str("local API"),
        }
    }
}

impl Caller {
    /// Whether the device as a whole is theirs to act on.
    pub fn may_control(&self) -> bool {
        matches!(self, Caller::Operator | Caller::Service { controls_host: true, .. })
    }

    /// Whether an app is theirs to see and to act on.
    pub fn may_touch(&self, app: AppId) -> bool {
        match self {
            Caller::Operator => true,
            Caller::Service { app: own, .. } => *own == app,
            Caller::Nobody => false,
        }
    }
}
