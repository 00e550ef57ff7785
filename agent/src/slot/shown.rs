//! What the API shows of the agent's own updates, and what it may ask for.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::exchange::Job;
use super::record::Slots;

/// How the agent's own update stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The record.
    pub slots: Slots,
    /// What runs: `a`, `b`, `factory`; `None` when the agent was not started by the launcher.
    pub running: Option<String>,
    /// What is being done.
    pub doing: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// What else is wrong: variables that make no sense, a record that cannot be read.
    pub fault: Option<String>,
}

impl Shown {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut value = self.slots.to_json();
        value["running"] = json!(self.running);
        value["version"] = json!(crate::version::AGENT_VERSION);
        value["doing"] = json!(self.doing);
        value["error"] = json!(self.error);
        value["fault"] = json!(self.fault);
        value
    }

    /// What is wrong, in sentences.
    pub fn faults(&self) -> Vec<String> {
        let failed = self.slots.failed.as_ref().map(|failed| {
            // A checksum is told by its beginning, an image by its name.
            let shown = failed.sha256.get(..12).filter(|_| failed.sha256.len() == 64).unwrap_or(&failed.sha256);
            let (version, why) = (&failed.version, &failed.why);
            format!("version {version} ({shown}) failed its trial: {why}; it is not tried again until another one is asked for")
        });
        [self.fault.clone(), self.error.clone(), failed].into_iter().flatten().collect()
    }
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// This version.
    Install(Box<Job>),
    /// Look again at what is wanted, without waiting for the next attempt.
    Check,
}

/// How the API reaches whoever looks after the agent's own updates.
#[derive(Clone, Debug)]
pub struct UpdateLink {
    /// Asks.
    pub asks: mpsc::Sender<Ask>,
    /// What is shown.
    pub shown: watch::Receiver<Arc<Shown>>,
}

impl Default for UpdateLink {
    /// Nobody looks after it.
    fn default() -> UpdateLink {
        UpdateLink { asks: mpsc::channel(1).0, shown: watch::channel(Arc::default()).1 }
    }
}
