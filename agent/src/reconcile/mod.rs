//! The loop: observe, plan, run the steps, look again. It is the one owner of containers; everybody else submits requests.
//!
//! A round reads the engine and the lock folders, asks `holdfast_plan::plan`, starts the steps it is given and publishes a
//! [`View`]. Then it sleeps until a step ends, a request or a target arrives, the engine or a lock folder changes, or the
//! plan's own wake-up time comes. Nothing is carried over from round to round but failures, so a crash is a restart.

mod announce;
#[cfg(all(test, feature = "sandbox"))]
mod bench;
mod execute;
mod failures;
mod hold;
mod host_order;
mod inputs;
mod keyring;
mod keys;
mod outage;
mod request;
mod round;
mod running;
mod space;
mod step_error;
#[cfg(feature = "sandbox")]
mod stuck;
mod view;

pub use hold::{Held, HoldRefusal, HoldRequest, HoldState};
pub use host_order::{HostOrder, OrderError};
pub use inputs::{Channels, Tools};
pub use keyring::{ApiKey, Keyring};
pub use request::{Request, TargetInForce};
pub use round::Reconciler;
pub use view::{Doing, Fault, Phase, View};
