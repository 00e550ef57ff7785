//! Lets downloads in while there is room for them. What is known here is never trusted for long: a download that was let in
//! wrongly ends with the engine's own error, and one that was kept out asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_plan::policy::Watermark;
use holdfast_plan::target::ImageRef;

use super::Tools;
use super::step_error::StepError;
use crate::engine::{Progress, RegistryAuth};
use crate::host::DiskSpace;
use crate::policy::{Room, judge};

#[cfg(test)]
mod tests;

/// Where engines keep images when nobody says so.
const USUAL_DATA_ROOTS: [&str; 3] = ["/var/lib/docker", "/var/lib/balena-engine", "/var/lib/containers/storage"];

/// So many registries are remembered as not answering; a target has few.
const MAX_SILENT: usize = 64;

/// What a round knows of the engine's disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Where the engine says that it keeps images on the host.
    pub data_root: Option<String>,
    /// How full the disk may get.
    pub watermark: Watermark,
}

/// The downloads that were let in and run.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    claims: BTreeMap<u64, Claimed>,
    /// What could not be asked, and was said in the log.
    silent: BTreeSet<String>,
}

/// What one download takes on the disk, and how far it is.
#[derive(Debug)]
struct Claimed {
    bytes: u64,
    percent: Arc<AtomicU8>,
}

impl Claimed {
    fn left_bytes(&self) -> u64 {
        let left = u64::from(100 - self.percent.load(Ordering::Relaxed).min(100));
        // Divided first: rounding is nothing here, and the product might not fit.
        (self.bytes / 100).saturating_mul(left)
    }
}

/// A place among the downloads; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Claim {
    place: Option<(Arc<Downloads>, u64)>,
    percent: Arc<AtomicU8>,
}

impl Claim {
    /// A download of which nothing is known.
    fn unknown() -> Claim {
        Claim { place: None, percent: Arc::default() }
    }

    /// Watches the pull, so that what it has written is not counted twice.
    pub fn follow(&self, progress: Progress) -> Progress {
        let percent = self.percent.clone();
        Arc::new(move |part| {
            percent.store(part, Ordering::Relaxed);
            progress(part);
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((downloads, id)) = &self.place {
            downloads.state().claims.remove(id);
        }
    }
}

impl Downloads {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges and claims in one go, so that two downloads cannot take the same room.
    fn claim(self: &Arc<Self>, download_bytes: u64, space: DiskSpace, watermark: Watermark) -> Result<Claim, StepError> {
        let mut state = self.state();
        let claimed_bytes = state.claims.values().fold(0_u64, |sum, claimed| sum.saturating_add(claimed.left_bytes()));
        let DiskSpace { total_bytes, free_bytes } = space;
        let bytes = judge(download_bytes, Room { total_bytes, free_bytes, claimed_bytes, watermark })?;
        state.next += 1;
        let (id, percent) = (state.next, Arc::new(AtomicU8::new(0)));
        state.claims.insert(id, Claimed { bytes, percent: percent.clone() });
        Ok(Claim { place: Some((self.clone(), id)), percent })
    }

    /// Says once that something cannot be asked, until it could be.
    fn is_silent(&self, who: &str, image: &ImageRef, error: &dyn std::fmt::Display) {
        let mut state = self.state();
        if state.silent.len() >= MAX_SILENT {
            state.silent.clear();
        }
        if state.silent.insert(who.to_owned()) {
            log::warn!("image {image} is pulled without a look at the free space first: {error}");
        }
    }

    fn answers(&self, who: &str) {
        self.state().silent.remove(who);
    }
}

/// Decides whether a download may begin.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// The disk.
    pub disk: Disk,
    /// The downloads that run already.
    pub downloads: Arc<Downloads>,
}

impl Admission {
    /// Lets a download in if it fits. When the registry or the host cannot tell, it is let in: the pull itself will show.
    ///
    /// # Errors
    /// When it does not fit, with the numbers; when the engine does not answer.
    pub async fn admit(&self, image: &ImageRef, auth: Option<&RegistryAuth>, tools: &Tools) -> Result<Claim, StepError> {
        let registry = image.host.as_deref().unwrap_or("the default registry");
        let size = match tools.registry.image_size(image, auth).await {
            Ok(size) => size,
            Err(error) => {
                self.downloads.is_silent(registry, image, &error);
                return Ok(Claim::unknown());
            }
        };
        self.downloads.answers(registry);
        let Some(space) = self.space(image, tools).await else { return Ok(Claim::unknown()) };
        let claim = |bytes| self.downloads.claim(bytes, space, self.disk.watermark);
        // Which layers are there already is a question for every image of the engine: only asked when it matters.
        match claim(size.missing_bytes(&BTreeSet::new())) {
            Err(_) => claim(size.missing_bytes(&tools.engine.layers().await?)),
            admitted => admitted,
        }
    }

    /// Room where the engine keeps its images.
    async fn space(&self, image: &ImageRef, tools: &Tools) -> Option<DiskSpace> {
        const WHO: &str = "the host's disk";
        let named = self.disk.data_root.as_deref().map(Path::new).or(tools.data_root.as_deref());
        // An engine that names a place keeps its images nowhere else.
        let places = named.map_or_else(|| USUAL_DATA_ROOTS.map(Path::new).to_vec(), |named| vec![named]);
        let mut first_error = None;
        for place in places {
            match tools.host.disk_space(place).await {
                Ok(space) => {
                    self.downloads.answers(WHO);
                    return Some(space);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if let Some(error) = first_error {
            self.downloads.is_silent(WHO, image, &error);
        }
        None
    }
}
