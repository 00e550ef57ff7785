//! Rows of the database that decisions need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::boot::OwnKeys;
use crate::order::Order;
use crate::target::{AppId, AppUuid, ImageRef};

/// The release an app last settled on.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Numeric app id.
    pub app_id: AppId,
    /// Commit of the release.
    pub commit: String,
    /// Fingerprint of `document`: an unchanged app is not written again.
    pub fingerprint: String,
    /// The app as the target described it, so that this release can be restored when a later one is rejected.
    pub document: serde_json::Value,
}

impl fmt::Debug for Settled {
    /// Without the document, which holds the values of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settled { app_id, commit, fingerprint, document: _ } = self;
        let mut settled = f.debug_struct("Settled");
        settled.field("app_id", app_id).field("commit", commit).field("fingerprint", fingerprint).finish_non_exhaustive()
    }
}

/// A release that is being tried before it counts as settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Commit of the release.
    pub commit: String,
    /// How often the agent has started during this trial, 1 for the run that began it. A release that takes the device down
    /// again and again never gets to its deadline; this ends it.
    pub starts: u32,
    /// When this run of the agent began to watch it, ms since boot. Not stored: clocks do not survive a boot.
    #[serde(skip)]
    pub since_boot_ms: Option<i64>,
}

/// A release that failed its trial. It stays rejected until the target asks for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Commit of the release.
    pub commit: String,
    /// Why, in a sentence.
    pub why: String,
}

/// An image that the agent pulled or adopted: only such images are ever removed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The reference it was pulled by.
    pub image: ImageRef,
    /// Engine id; empty until it is there.
    pub engine_id: String,
    /// App it was pulled for.
    pub app_uuid: AppUuid,
    /// Service it was pulled for.
    pub service: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When, ms since 1970, if the clock was trusted.
    pub pulled_ms: Option<i64>,
}

/// An attempt that failed and is tried again later. Kept in memory: a restart may try at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The cause chain, one line.
    pub error: String,
    /// How often in a row.
    pub count: u32,
    /// Not before this time since boot, ms.
    pub retry_boot_ms: i64,
    /// Whether the disk had no room for it: then images that nothing references are removed at once.
    pub no_space: bool,
}

/// The restart of the device that was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootRecord {
    /// Why, one reason a line.
    pub why: String,
    /// In which boot it was asked for.
    pub boot_id: String,
    /// How often for this reason, one after the other.
    pub count: u32,
}

impl RebootRecord {
    /// Whether the device was restarted for this often enough to know that it does not help.
    pub fn is_spent(&self) -> bool {
        self.count >= crate::plan::MAX_REBOOTS
    }

    /// Whether this is one of its reasons.
    pub fn names(&self, reason: &str) -> bool {
        self.why.lines().any(|line| line == reason)
    }
}

/// The device is about to stop or to start again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoingDown {
    /// What was asked for.
    pub power: PowerChange,
    /// When it counts as not followed, ms since boot.
    pub until_boot_ms: i64,
}

/// What can be asked of a device's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerChange {
    /// Stop and start again.
    Reboot,
    /// Stop.
    Shutdown,
}

impl std::fmt::Display for PowerChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PowerChange::Reboot => "restart",
            PowerChange::Shutdown => "shut down",
        })
    }
}

/// What decisions remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Whether a target was ever stored; an agent that never stored one removes nothing.
    pub target_stored: bool,
    /// Settled releases by app.
    pub settled: BTreeMap<AppUuid, Settled>,
    /// Releases on trial by app.
    pub trials: BTreeMap<AppUuid, Trial>,
    /// Rejected releases by app.
    pub rejected: BTreeMap<AppUuid, Rejected>,
    /// When an app was first seen to have left the target, ms since 1970; starts the volume grace period.
    pub departed: BTreeMap<AppId, i64>,
    /// Images by reference text.
    pub images: BTreeMap<String, ImageRecord>,
    /// Services whose stop was asked for through the API.
    pub stops: BTreeSet<(AppId, String)>,
    /// Containers by engine id that ran when they were stopped for a copy of a volume: they are started again as soon as no
    /// copy needs them stopped, whatever became of it.
    pub held: BTreeSet<String>,
    /// What is asked of apps through the API and not done yet.
    pub orders: BTreeMap<AppId, Order>,
    /// Failures of steps by [`crate::plan::Step::key`].
    pub failures: BTreeMap<String, Failure>,
    /// Boot configuration keys that device variables named, by back-end.
    pub boot_keys: OwnKeys,
    /// The restart asked for last.
    pub reboot: Option<RebootRecord>,
    /// Set while the device goes down. Not stored.
    pub going_down: Option<GoingDown>,
}

/// A change of memory that a plan asks for; the executor commits it to the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Remember {
    /// The app runs this release entirely.
    Settle {
        /// App.
        app_uuid: AppUuid,
        /// Which release.
        settled: Settled,
    },
    /// A release begins its trial, or goes on with it after a start of the agent.
    BeginTrial {
        /// App.
        app_uuid: AppUuid,
        /// The trial.
        trial: Trial,
    },
    /// A release failed its trial: the settled one is restored.
    Reject {
        /// App.
        app_uuid: AppUuid,
        /// Which and why.
        rejected: Rejected,
    },
    /// The target asks for another release than the rejected one, or for none.
    ForgetRejected {
        /// App.
        app_uuid: AppUuid,
    },
    /// The app left the target; its volumes' grace period starts.
    Depart {
        /// App.
        app_id: AppId,
        /// When, ms since 1970.
        at_ms: i64,
    },
    /// The app is gone with everything it had, or is wanted again.
    ForgetDeparture {
        /// App.
        app_id: AppId,
    },
    /// The app has no release any more.
    Unsettle {
        /// App.
        app_uuid: AppUuid,
    },
    /// An image was pulled or adopted.
    Image(ImageRecord),
    /// An image is gone.
    ForgetImage {
        /// Its reference text.
        image: String,
    },
    /// A stop was asked for (`true`) or is taken back (`false`).
    Stop {
        /// App.
        app_id: AppId,
        /// Service.
        service: String,
        /// Asked for or taken back.
        stopped: bool,
    },
    /// Which boot configuration keys are the agent's.
    BootKeys {
        /// All of them.
        own: OwnKeys,
    },
    /// The device is about to be restarted.
    Reboot {
        /// Why, and how often.
        record: RebootRecord,
    },
    /// An order on an app goes on (`Some`), or is over.
    Order {
        /// App.
        app_id: AppId,
        /// How far it is.
        order: Option<Box<Order>>,
    },
    /// A container is about to be stopped for a copy of a volume (`true`), or runs again or is gone (`false`).
    Held {
        /// Engine id.
        container: String,
        /// Stopped for it or not any more.
        held: bool,
    },
}

impl Memory {
    /// Applies a change, as the store does.
    pub fn apply(&mut self, change: &Remember) {
        match change {
            Remember::Settle { app_uuid, settled } => {
                self.settled.insert(app_uuid.clone(), settled.clone());
                self.trials.remove(app_uuid);
            }
            Remember::BeginTrial { app_uuid, trial } => {
                self.trials.insert(app_uuid.clone(), trial.clone());
            }
            Remember::Reject { app_uuid, rejected } => {
                self.trials.remove(app_uuid);
                self.rejected.insert(app_uuid.clone(), rejected.clone());
            }
            // The trial on record is that of the release that came after it.
            Remember::ForgetRejected { app_uuid } => {
                self.rejected.remove(app_uuid);
            }
            Remember::Depart { app_id, at_ms } => {
                self.departed.entry(*app_id).or_insert(*at_ms);
            }
            Remember::ForgetDeparture { app_id } => {
                self.departed.remove(app_id);
            }
            Remember::Unsettle { app_uuid } => {
                self.settled.remove(app_uuid);
                self.trials.remove(app_uuid);
                self.rejected.remove(app_uuid);
            }
            Remember::Image(record) => {
                self.images.insert(record.image.to_string(), record.clone());
            }
            Remember::ForgetImage { image } => {
                self.images.remove(image);
            }
            Remember::BootKeys { own } => self.boot_keys = own.clone(),
            Remember::Reboot { record } => self.reboot = Some(record.clone()),
            Remember::Stop { app_id, service, stopped: true } => {
                self.stops.insert((*app_id, service.clone()));
            }
            Remember::Stop { app_id, service, stopped: false } => {
                self.stops.remove(&(*app_id, service.clone()));
            }
            Remember::Order { app_id, order: Some(order) } => {
                self.orders.insert(*app_id, (**order).clone());
            }
            Remember::Order { app_id, order: None } => {
                self.orders.remove(app_id);
            }
            Remember::Held { container, held: true } => {
                self.held.insert(container.clone());
            }
            Remember::Held { container, held: false } => {
                self.held.remove(container);
            }
        }
    }
}
