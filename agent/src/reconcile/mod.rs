//! The loop: observe, plan, run the steps, look again. It is the one owner of containers; everybody else submits requests.

mod request;
mod view;

pub use request::{Request, TargetInForce};
pub use view::{Doing, Fault, Phase, View};
