//! The same promise where the agent is a container: its image is replaced by a helper, a container of the *old* image, which
//! starts the new agent, waits until it has proved itself, and otherwise goes back.
//!
//! The helper remembers nothing. What it needs to know from the start stands in its labels, how far it has come in the names
//! and states of the two agents' containers; so a helper that is killed is started again by the engine and carries on.
//!
//! | names of the old and the new agent | means |
//! |---|---|
//! | `NAME`, none | nothing was done yet |
//! | `NAME`, `NAME-new-agent` | being prepared, or on trial |
//! | `NAME-old-agent`, `NAME-new-agent` or `NAME` | kept; the old one goes |
//! | `NAME`, `NAME-failed-agent` | failed; the old one runs again |

mod call;
mod copy;
mod helper;
mod stage;
mod start;

pub use call::EngineLink;
pub use helper::{AskAgent, help};
pub use start::{Helper, is_new, own_container, start_helper};

/// Label of a helper: the id of the agent's container that is to be replaced.
const OF: &str = "io.holdfast.update.of";
/// Label of a helper: the new image.
const IMAGE: &str = "io.holdfast.update.image";
/// Label of a helper: the name of the agent's container.
const NAME: &str = "io.holdfast.update.name";
/// Label of a helper: when the engine starts the agent's container by itself.
const RESTART: &str = "io.holdfast.update.restart";
/// Label of a helper: schema version of the database before.
const SCHEMA: &str = "io.holdfast.update.schema";
/// Label of a helper: whether the cloud has to be reached.
const CLOUD: &str = "io.holdfast.update.cloud";
/// Label of a helper: what stands for the device variables that asked for it.
const WISH: &str = "io.holdfast.update.wish";
