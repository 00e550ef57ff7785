//! A version is installed: into the free slot, or by a helper where the agent is a container.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::target::ImageRef;
use tokio::time::timeout;

use super::SelfUpdate;
use crate::reconcile::{Phase, View};
use crate::slot::container::{EngineLink, Helper, is_new, own_container, start_helper};
use crate::slot::{Before, Job, PublicKey, SlotError, Slots, Source, begin, keep_copy, obtain, put};
use crate::store::{BackupInfo, Task};

/// How long an update waits until nothing else is being done.
const IDLE_PATIENCE: Duration = Duration::from_secs(600);

/// How an attempt began.
pub(super) enum Begun {
    /// The next start is that of the version on trial.
    OnTrial(Box<Slots>),
    /// A helper does the rest.
    HandedOver,
    /// There was nothing to do: this image runs.
    Runs(String),
}

impl SelfUpdate {
    pub(super) async fn install(&mut self, job: Job) -> Result<Begun, SlotError> {
        if let Source::Image(image) = &job.source {
            return self.replace_container(image, &job).await;
        }
        let Some(launched) = self.launched else {
            return Err(refused("this agent was not started by holdfast launch, so nothing would start another version"));
        };
        if self.slots.trial.is_some() {
            return Err(refused("a version waits for its trial already"));
        }
        self.show(|shown| shown.doing = Some(format!("obtaining {}", job.source)));
        let slots = self.slots.clone().as_run(launched);
        let candidate = obtain(&self.ground, &job, slots.free()).await?;
        if slots.kept.as_ref().is_some_and(|kept| kept.sha256 == candidate.sha256) {
            return Err(refused("it is what runs already"));
        }
        self.show(|shown| shown.doing = Some("waiting until nothing else is being done".into()));
        self.idle().await.ok_or_else(|| refused("the engine is away or steps keep running, and that is no time for it"))?;
        self.show(|shown| shown.doing = Some("making a copy of the database".into()));
        // Before the version in the free slot is given up: without a copy it goes no further.
        let copy = self.copy_database().await?;
        if slots != self.slots {
            self.ground.folder.store(&slots)?;
        }
        let (slots, slot) = put(&self.ground.folder, slots, &candidate)?;
        self.slots = slots.clone();
        let cloud = self.reaches_cloud(&job);
        let before = Before { backup: Some(PathBuf::from(copy.path)), schema: copy.schema, cloud, wish: job.wish };
        begin(&self.ground.folder, slots, slot, &candidate, before).map(|slots| Begun::OnTrial(Box::new(slots)))
    }

    /// Leaves the replacement of this agent's container to a helper.
    async fn replace_container(&self, image: &str, job: &Job) -> Result<Begun, SlotError> {
        if PublicKey::read(self.ground.key.as_ref())?.is_some() {
            return Err(refused("an image bears no signature, and this device installs only what is signed (update.pub)"));
        }
        let engine = self.links.view.borrow().engine.clone().ok_or_else(|| refused("the engine has not answered yet"))?;
        let socket = engine.address.strip_prefix("unix://").map(PathBuf::from);
        let link = EngineLink { socket: socket.ok_or_else(|| refused("this goes by an engine's unix socket and by no other"))? };
        let own = own_container(&link).await?;
        if own["Config"]["Image"] == image {
            return Ok(Begun::Runs(image.to_owned()));
        }
        if is_new(&own) {
            return Err(refused("it is on trial itself; what is asked for is looked at again once it is kept"));
        }
        self.show(|shown| shown.doing = Some(format!("pulling {image}")));
        let reference: ImageRef = image.parse().map_err(|_| refused(&format!("{image} is no name of an image")))?;
        let auth = (self.links.auth_for)(&reference);
        let pulled = self.links.engine.pull(&reference, auth.as_ref(), Arc::new(|_| {})).await;
        if let Err(error) = pulled {
            // An image that was loaded by hand is in no registry.
            let there = link.has_image(image).await?;
            there.then_some(()).ok_or_else(|| refused(&error.to_string()))?;
        }
        self.idle().await.ok_or_else(|| refused("steps keep running, and that is no time for it"))?;
        let copy = self.copy_database().await?;
        self.ground.folder.store(&self.slots)?;
        keep_copy(Path::new(&copy.path), &self.ground.folder.copy())?;
        let cloud = self.reaches_cloud(job);
        let helper = Helper { image: image.to_owned(), schema: copy.schema, cloud, wish: job.wish.clone() };
        start_helper(&link, &own, &helper).await?;
        self.show(|shown| shown.doing = Some(format!("a helper replaces this container by {image}")));
        Ok(Begun::HandedOver)
    }

    async fn copy_database(&self) -> Result<BackupInfo, SlotError> {
        let done = self.links.store.upkeep(Task::Backup { only_if_changed: true }).await;
        let done = done.map_err(|error| refused(&format!("no copy of the database could be made ({error})")))?;
        let copy = done.backups.into_iter().next().ok_or_else(|| refused("no copy of the database was made"))?;
        crate::slot::point("the database is copied");
        Ok(copy)
    }

    /// Whether the cloud is reached now, so that the next version has to reach it as well.
    fn reaches_cloud(&self, job: &Job) -> bool {
        let cloud = self.links.cloud.borrow();
        !job.offline && !cloud.endpoint.is_empty() && cloud.last_poll_boot_ms.is_some() && cloud.poll_error.is_none()
    }

    /// Waits until no step runs on an engine that answers.
    async fn idle(&self) -> Option<()> {
        let mut view = self.links.view.clone();
        let idle = |view: &Arc<View>| {
            view.doing.is_empty() && !matches!(view.phase, Phase::Starting | Phase::Applying | Phase::EngineAway { .. })
        };
        timeout(IDLE_PATIENCE, view.wait_for(idle)).await.ok()?.ok().map(drop)
    }
}

fn refused(message: &str) -> SlotError {
    SlotError::of("self-update", message)
}
