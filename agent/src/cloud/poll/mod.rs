//! The poll for the target (protocol §3, §5).
//!
//! A new target is stored with its ETag before anybody hears of it; one that cannot be read or stored as a whole leaves the
//! previous one in force. Requests to poll now are served one after the other with the regular polls, also while a wait
//! after failures runs.

mod document;
mod held;
mod links;
mod wake;

use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::target::DeviceTarget;
use tokio::sync::watch;

use self::held::Held;
pub use self::links::{Arrived, PollLinks};
pub(super) use self::wake::stopped;
use self::wake::{Wake, next_wake};
use super::{Cloud, CloudError, CloudView, PollNow, Retry, TargetAnswer, Timing};
use crate::clock::Clock;
use crate::store::{Change, Store, StoredTarget};

/// Which device of which cloud is polled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSettings {
    /// `apiEndpoint`: the source under which targets are stored.
    pub source: String,
    /// Device uuid.
    pub uuid: String,
}

/// The loop that polls.
pub struct Poller {
    settings: PollSettings,
    timing: watch::Receiver<Timing>,
    cloud: Arc<dyn Cloud>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: fastrand::Rng,
    retry: Retry,
    held: Option<Held>,
}

impl Poller {
    /// Makes the loop. `stored` is the target in force: give it only when it could be read, since what is named by its ETag
    /// is not sent again.
    pub fn new(
        settings: PollSettings,
        timing: watch::Receiver<Timing>,
        cloud: Arc<dyn Cloud>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        mut rng: fastrand::Rng,
        stored: Option<&StoredTarget>,
    ) -> Poller {
        let held = stored.filter(|stored| stored.source == settings.source && stored.uuid == settings.uuid).map(Held::from);
        let retry = Retry::new(timing.borrow().poll_interval, rng.fork());
        Poller { settings, timing, cloud, store, clock, rng, retry, held }
    }

    /// Polls at once and then again and again until a link breaks or the shutdown fires.
    pub async fn run(mut self, mut links: PollLinks) {
        links.view.send_if_modified(|view| replace(&mut view.endpoint, self.settings.source.clone()));
        let mut asked = None;
        loop {
            let outcome = tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return,
                outcome = self.poll() => outcome,
            };
            let wait = self.settle(&outcome, &links.view);
            if !self.tell(outcome.ok().flatten(), asked.take(), &mut links).await {
                return;
            }
            asked = match next_wake(wait, &mut links).await {
                Wake::Timer => None,
                Wake::Asked(asked) => Some(asked),
                Wake::End => return,
            };
        }
    }

    /// One poll; the target, when it is a new one.
    async fn poll(&mut self) -> Result<Option<Arc<DeviceTarget>>, CloudError> {
        let etag = self.held.as_ref().and_then(|held| held.etag.clone());
        match self.cloud.target(etag.as_deref()).await? {
            TargetAnswer::Unchanged if etag.is_some() => Ok(None),
            TargetAnswer::Unchanged => Err(CloudError::NotModifiedWithoutEtag),
            TargetAnswer::Body { text, etag } => self.take(text, etag).await,
        }
    }

    /// Takes a body: reads it, stores it, and only then lets it be published.
    async fn take(&mut self, body: String, etag: Option<String>) -> Result<Option<Arc<DeviceTarget>>, CloudError> {
        let new = Held::of(&body, etag.clone());
        let same_body = self.held.as_ref().is_some_and(|held| held.same_body(&new));
        if same_body && self.held.as_ref() == Some(&new) {
            return Ok(None);
        }
        let target = if same_body { None } else { Some(Arc::new(document::read(&body, &self.settings.uuid)?)) };
        let stored = StoredTarget { source: self.settings.source.clone(), uuid: self.settings.uuid.clone(), etag, body };
        self.store.commit(vec![Change::Target(stored)]).await.map_err(|error| CloudError::NotStored(error.to_string()))?;
        self.held = Some(new);
        if let Some(target) = &target {
            log::info!(
                "new target from {}: {} app(s), {} refused",
                self.settings.source,
                target.apps.len(),
                target.refused.len()
            );
        }
        Ok(target)
    }

    /// Counts the outcome, shows it, and says how long to wait for the next poll.
    fn settle(&mut self, outcome: &Result<Option<Arc<DeviceTarget>>, CloudError>, view: &watch::Sender<CloudView>) -> Duration {
        let timing = *self.timing.borrow();
        self.retry.set_longest(timing.poll_interval);
        let now_ms = self.clock.now().boot_ms;
        let (wait, error) = match outcome {
            Ok(_) => {
                if self.retry.failures() > 0 {
                    log::info!("the cloud answers again after {} failed poll(s)", self.retry.failures());
                }
                self.retry.succeeded();
                (timing.poll_interval + self.jitter(timing.poll_jitter), None)
            }
            Err(error) => {
                let wait = self.retry.failed(error.retry_after());
                let error = self.explain(error, wait);
                log::warn!("{error}");
                (wait, Some(error))
            }
        };
        view.send_modify(|view| {
            view.last_poll_boot_ms = if error.is_none() { Some(now_ms) } else { view.last_poll_boot_ms };
            view.polls += 1;
            view.polls_failed += u64::from(error.is_some());
            view.poll_error = error;
            view.poll_failures = self.retry.failures();
            view.next_poll_boot_ms = Some(now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        });
        wait
    }

    /// The error with what it means for the device and what happens next.
    fn explain(&self, error: &CloudError, wait: Duration) -> String {
        let force = if self.held.is_some() { "the previous target stays in force" } else { "no target is held yet" };
        format!("poll for the target failed: {error}; {force}, asked again in {} s", wait.as_millis().div_ceil(1000))
    }

    fn jitter(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.rng.u64(0..=u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Passes news on; `false` ends the loop.
    async fn tell(&self, target: Option<Arc<DeviceTarget>>, asked: Option<PollNow>, links: &mut PollLinks) -> bool {
        if target.is_none() && asked.is_none() {
            return true;
        }
        let news = Arrived { target, source: self.settings.source.clone(), asked };
        tokio::select! {
            biased;
            () = stopped(&mut links.shutdown) => false,
            sent = links.arrived.send(news) => sent.is_ok(),
        }
    }
}

/// Replaces a value; whether it differed.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let differs = *place != value;
    *place = value;
    differs
}

#[cfg(test)]
mod tests;
