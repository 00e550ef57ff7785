//! The log stream to the cloud (protocol §13): the agent's own messages, as they come, as lines of compressed JSON.
//!
//! ```text
//! events ──▶ Intake (bounded buffer) ──▶ Pack (gzip) ──▶ LogBody ──▶ LogTransport ──▶ cloud
//! ```
//!
//! A request is made when there is a message and no earlier; its body stays open and is fed for as long as messages come.
//! What waits in the buffer survives a connection that fails; what was handed to it may be lost. Another source of lines
//! is another branch of [`intake::Intake::turn`].

mod body;
mod buffer;
mod connection;
mod intake;
mod line;
mod pack;
mod streamer;
mod timing;
mod transport;

pub use body::LogBody;
pub use intake::LogLinks;
pub use streamer::LogStreamer;
pub use timing::LogTiming;
pub use transport::{LogTransport, LogUpload};

#[cfg(test)]
mod tests;
