//! Rows of the database that decisions need.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::target::{AppId, AppUuid, ImageRef};

/// The release an app last settled on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Numeric app id.
    pub app_id: AppId,
    /// Commit of the release.
    pub commit: String,
}

/// An image that the agent pulled or adopted: only such images are ever removed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The reference it was pulled by.
    pub image: ImageRef,
    /// Engine id.
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
}

/// What decisions remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Whether a target was ever stored; an agent that never stored one removes nothing.
    pub target_stored: bool,
    /// Settled releases by app.
    pub settled: BTreeMap<AppUuid, Settled>,
    /// When an app was first seen to have left the target, ms since 1970; starts the volume grace period.
    pub departed: BTreeMap<AppId, i64>,
    /// Images by reference text.
    pub images: BTreeMap<String, ImageRecord>,
    /// Services whose stop was asked for through the API.
    pub stops: BTreeSet<(AppId, String)>,
    /// Failures of steps by [`crate::plan::Step::key`].
    pub failures: BTreeMap<String, Failure>,
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
}

impl Memory {
    /// Applies a change, as the store does.
    pub fn apply(&mut self, change: &Remember) {
        match change {
            Remember::Settle { app_uuid, settled } => {
                self.settled.insert(app_uuid.clone(), settled.clone());
            }
            Remember::Depart { app_id, at_ms } => {
                self.departed.entry(*app_id).or_insert(*at_ms);
            }
            Remember::ForgetDeparture { app_id } => {
                self.departed.remove(app_id);
            }
            Remember::Unsettle { app_uuid } => {
                self.settled.remove(app_uuid);
            }
            Remember::Image(record) => {
                self.images.insert(record.image.to_string(), record.clone());
            }
            Remember::ForgetImage { image } => {
                self.images.remove(image);
            }
            Remember::Stop { app_id, service, stopped: true } => {
                self.stops.insert((*app_id, service.clone()));
            }
            Remember::Stop { app_id, service, stopped: false } => {
                self.stops.remove(&(*app_id, service.clone()));
            }
        }
    }
}
