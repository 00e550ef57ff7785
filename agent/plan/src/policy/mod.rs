//! What is allowed right now, already evaluated: windows, overrides, grace periods.

mod watermark;
mod window;

pub use watermark::Watermark;
pub use window::{Opening, Windows};

use serde::Serialize;

/// Whether something may be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Yes.
    #[default]
    Open,
    /// Not before a time (ms since 1970; `None` when no time can be given), for a reason a person can read.
    Until {
        /// When it opens.
        wall_ms: Option<i64>,
        /// Why it is closed.
        why: String,
    },
}

/// Who asked for update locks to be broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Force {
    /// The device variable `SUPERVISOR_OVERRIDE_LOCK`.
    OverrideVariable,
    /// A request that is being carried out, with who made it.
    Request {
        /// For example `local API`.
        from: String,
    },
}

impl std::fmt::Display for Force {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Force::OverrideVariable => f.write_str("the override variable"),
            Force::Request { from } => write!(f, "a request with force from the {from}"),
        }
    }
}

/// What a volume is kept from its services for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It is read: the containers that use it are stopped.
    Backup,
    /// It is made anew and filled: the containers that use it go, since an engine lets go of no volume that has a user.
    Restore,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Purpose::Backup => "backup",
            Purpose::Restore => "restore",
        })
    }
}

/// A volume that is kept from its services while a request copies it. It belongs to the running request and is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Name in the engine.
    pub volume: String,
    /// What for.
    pub purpose: Purpose,
    /// May update locks be broken for it, and who asked?
    pub force: Option<Force>,
}

/// The policy of this round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Policy {
    /// May images be downloaded?
    pub download: Gate,
    /// May containers be switched?
    pub switch: Gate,
    /// May locks be broken, and who asked?
    pub force: Option<Force>,
    /// How long volumes of an app that left the target are kept, ms; 0 removes them at once.
    pub volume_grace_ms: i64,
    /// Set when the agent must not change anything, with the reason (design, "What must always hold", 4).
    pub watch_only: Option<String>,
    /// How full the engine's disk may get by a download.
    pub disk_watermark: Watermark,
    /// May images that have neither a tag nor a digest, and no use, be removed? Not on an engine that others work on too.
    pub clean_dangling: bool,
    /// A volume that is being copied, if any.
    pub hold: Option<Hold>,
    /// Whether somebody develops on the device (local mode): then nothing that holds data or took a download is tidied away.
    pub local_mode: bool,
    /// Device variables that cannot be understood and are passed over: which, and what is done instead.
    pub passed_over: Vec<String>,
}

/// The time of this round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Now {
    /// Wall clock, ms since 1970, if it is trusted.
    pub wall_ms: Option<i64>,
    /// The machine's wall clock as it is, right or wrong, ms since 1970: only to be compared with times the engine of the
    /// same machine noted.
    pub machine_ms: i64,
    /// Time since boot, ms.
    pub boot_ms: i64,
}
