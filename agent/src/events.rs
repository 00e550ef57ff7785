//! What happened, for the log stream, the local API and the store.

use serde::Serialize;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something was done or begins.
    Info,
    /// Something waits or was refused.
    Warning,
    /// Something failed.
    Error,
}

/// One event. `message` is a sentence a person can read; balena's own texts where it has them (behaviour §14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// How serious.
    pub level: Level,
    /// Name of the app it is about.
    pub app: Option<String>,
    /// Service it is about.
    pub service: Option<String>,
    /// The sentence.
    pub message: String,
    /// When, ms since 1970, if the clock was trusted.
    pub wall_ms: Option<i64>,
}
