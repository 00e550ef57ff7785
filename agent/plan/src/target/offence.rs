//! What was wrong with a target, said so that a person finds the place.

use serde::Serialize;

use super::AppId;

/// One broken rule, with the JSON path of the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Offence {
    /// Where, for example `apps.<uuid>.releases.<commit>.services.main.image`.
    pub path: String,
    /// What was expected and what stands there.
    pub message: String,
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// An application whose part of the target broke a rule of protocol §3.3: it alone is refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RefusedApp {
    /// The numeric id, when at least that could be read: its containers are then recognised and left alone.
    pub id: Option<AppId>,
    /// The name, when it could be read.
    pub name: Option<String>,
    /// The release the refused part asked for, to report it as `rejected`.
    pub commit: Option<String>,
    /// Every offence found, in the order of the document.
    pub offences: Vec<Offence>,
}

/// Why a target document is refused as a whole; the previous target stays in force.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The document is not a JSON object of the expected outer shape.
    #[error("the target state is refused: {0}")]
    Shape(Offence),
    /// The document speaks of other devices only (protocol §3.3).
    #[error("the target state is refused: it has no entry for this device ({uuid})")]
    NotThisDevice {
        /// The uuid that was looked for.
        uuid: String,
    },
}
