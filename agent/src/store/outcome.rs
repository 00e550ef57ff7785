//! What became of a database at a start.

/// What became of a database that could not be used as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A backup took its place.
    Restored,
    /// It was begun anew: its content comes from the engine and the cloud.
    Rebuilt,
    /// A newer agent's schema was taken back, or its own header put right: nothing the agent needs was lost.
    Reverted,
}

/// What happened to the database at this start, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Recovery {
    /// What became of it.
    pub outcome: Outcome,
    /// What happened, what was lost, and where the old file is.
    pub message: String,
}
