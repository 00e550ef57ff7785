//! The loop that reports (protocol §6.5): woken when there is something new to say, at most once per report interval.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::cache::Cache;
use super::diff::diff;
use super::metrics::{METRICS_INTERVAL, only_metrics};
use super::refusal::{LeftOut, Refusals, drop_settled, names_other_release};
use crate::clock::Clock;
use crate::cloud::poll::stopped;
use crate::cloud::{Cloud, CloudError, CloudView, Report, Retry, Timing};

/// Who reports to whom.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// `apiEndpoint`.
    pub endpoint: String,
    /// Device uuid.
    pub uuid: String,
    /// Where the last accepted report is kept, on a memory file system; `None` keeps it in memory only.
    pub cache: Option<PathBuf>,
}

/// What the loop is connected to.
pub struct ReportLinks {
    /// Everything there is to say ([`super::full_report`]); `None` while nothing is known yet. The loop ends when the sender
    /// is gone.
    pub full: watch::Receiver<Option<Arc<Report>>>,
    /// Where it shows how it is.
    pub view: watch::Sender<CloudView>,
    /// Ends the loop when it becomes `true` or its sender is gone.
    pub shutdown: watch::Receiver<bool>,
}

/// The loop that reports.
pub struct Reporter {
    timing: watch::Receiver<Timing>,
    cloud: Arc<dyn Cloud>,
    clock: Arc<dyn Clock>,
    retry: Retry,
    cache: Cache,
    accepted: Report,
    refusals: Refusals,
    not_before: Instant,
    /// Until then measurements alone are no reason to report.
    metrics_not_before: Instant,
}

impl Reporter {
    /// Makes the loop; the last accepted report is read from its file.
    pub fn new(
        settings: ReportSettings,
        timing: watch::Receiver<Timing>,
        cloud: Arc<dyn Cloud>,
        clock: Arc<dyn Clock>,
        rng: fastrand::Rng,
    ) -> Reporter {
        let cache = Cache { path: settings.cache, endpoint: settings.endpoint, uuid: settings.uuid };
        let retry = Retry::new(timing.borrow().poll_interval, rng);
        let (accepted, refusals) = (cache.load(), Refusals::default());
        let now = Instant::now();
        let (not_before, metrics_not_before) = (now, now);
        Reporter { timing, cloud, clock, retry, cache, accepted, refusals, not_before, metrics_not_before }
    }

    /// Reports until a link breaks or the shutdown fires.
    pub async fn run(mut self, mut links: ReportLinks) {
        while self.wait_for_news(&mut links).await {
            self.show_due(&links.view);
            tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return,
                () = sleep_until(self.not_before) => {}
            }
            // What is said is what holds now, not what held when the wait began.
            let Some(full) = links.full.borrow_and_update().clone() else { continue };
            let fields = self.news(&full);
            if fields.is_empty() {
                self.show_nothing_due(&links.view);
                continue;
            }
            let begin = Instant::now();
            let outcome = tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return,
                outcome = self.send(fields) => outcome,
            };
            self.settle(begin, outcome, &links.view);
        }
    }

    /// Waits until there is something to say; `false` ends the loop.
    async fn wait_for_news(&mut self, links: &mut ReportLinks) -> bool {
        loop {
            self.refusals.expire(Instant::now());
            let full = links.full.borrow_and_update().clone();
            let fields = full.map(|full| self.differences(&full)).unwrap_or_default();
            let held_back = self.holds_back(&fields);
            if !fields.is_empty() && !held_back {
                return true;
            }
            let expiry = [self.refusals.next_expiry(), held_back.then_some(self.metrics_not_before)].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return false,
                changed = links.full.changed() => if changed.is_err() { return false },
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {}
            }
        }
    }

    /// What is to be said now.
    fn news(&self, full: &Report) -> Report {
        let fields = self.differences(full);
        if self.holds_back(&fields) { Report::new() } else { fields }
    }

    /// Whether these are measurements that can wait.
    fn holds_back(&self, fields: &Report) -> bool {
        only_metrics(fields) && Instant::now() < self.metrics_not_before
    }

    /// What the cloud was not told yet, less what it does not want to hear.
    fn differences(&self, full: &Report) -> Report {
        let mut full = full.clone();
        if let Some(apps) = full.get_mut("apps").and_then(Value::as_object_mut) {
            self.refusals.filter(apps, Instant::now());
        }
        diff(&self.accepted, &full)
    }

    async fn send(&mut self, fields: Report) -> Result<(), CloudError> {
        match self.cloud.report(&fields).await {
            Ok(()) => {
                self.accept(fields);
                Ok(())
            }
            Err(CloudError::Unauthorised { .. }) if fields.contains_key("apps") => self.send_what_is_heard(fields).await,
            Err(error) => Err(error),
        }
    }

    /// After a 401: finds out whether it is the key or an app, and sends all but the apps that are refused. The apps go
    /// together in the last call, since the cloud takes each report of apps as all there are.
    async fn send_what_is_heard(&mut self, mut fields: Report) -> Result<(), CloudError> {
        let apps = match fields.remove("apps") {
            Some(Value::Object(apps)) => apps,
            _ => Map::new(),
        };
        if fields.is_empty() {
            fields.insert("status".into(), json!("Idle"));
        }
        self.cloud.report(&fields).await?;
        self.accept(fields);
        let heard = self.probe(apps).await?;
        if heard.is_empty() {
            return Ok(());
        }
        let fields = Report::from_iter([("apps".to_owned(), Value::Object(heard))]);
        self.cloud.report(&fields).await?;
        self.accept(fields);
        Ok(())
    }

    /// Reports each app alone and returns those that are heard, as far as they are.
    async fn probe(&mut self, apps: Map<String, Value>) -> Result<Map<String, Value>, CloudError> {
        let alone = apps.len() == 1;
        let mut heard = Map::new();
        for (uuid, entry) in apps {
            // A single app has just been refused and need not be asked about again.
            if !alone && self.is_heard(&uuid, &entry).await? {
                heard.insert(uuid, entry);
                continue;
            }
            let mut reduced = entry.clone();
            drop_settled(&mut reduced);
            if names_other_release(&entry) && self.is_heard(&uuid, &reduced).await? {
                self.refuse(&uuid, &entry, LeftOut::SettledRelease);
                heard.insert(uuid, reduced);
            } else {
                self.refuse(&uuid, &entry, LeftOut::Whole);
            }
        }
        Ok(heard)
    }

    async fn is_heard(&self, uuid: &str, entry: &Value) -> Result<bool, CloudError> {
        let fields = Report::from_iter([("apps".to_owned(), json!({ uuid: entry }))]);
        match self.cloud.report(&fields).await {
            Ok(()) => Ok(true),
            Err(CloudError::Unauthorised { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn refuse(&mut self, uuid: &str, entry: &Value, left_out: LeftOut) {
        let pause = self.timing.borrow().poll_interval;
        self.refusals.note(uuid, entry, left_out, Instant::now() + pause);
        let what = match left_out {
            LeftOut::SettledRelease => "the release that app runs",
            LeftOut::Whole => "anything of app",
        };
        let seconds = pause.as_secs();
        log::warn!(
            "the cloud refuses to hear {what} {uuid} (401): it is left out, tried again in {seconds} s or when its release changes"
        );
    }

    fn accept(&mut self, fields: Report) {
        let before = self.accepted.clone();
        self.accepted.extend(fields);
        if self.accepted != before {
            self.cache.save(&self.accepted);
        }
    }

    /// Counts the outcome, shows it and sets when the next report may be made.
    fn settle(&mut self, begin: Instant, outcome: Result<(), CloudError>, view: &watch::Sender<CloudView>) {
        let timing = *self.timing.borrow();
        self.retry.set_longest(timing.poll_interval);
        self.not_before = begin + timing.report_interval;
        let refused = self.refusals.whole();
        let accepted = outcome.is_ok();
        let error = match outcome {
            Ok(()) => {
                self.retry.succeeded();
                self.metrics_not_before = begin + METRICS_INTERVAL;
                (!refused.is_empty())
                    .then(|| format!("the cloud refuses to hear of app(s) {}; all else is reported", refused.join(", ")))
            }
            Err(error) => {
                let wait = self.retry.failed(error.retry_after());
                self.not_before = self.not_before.max(Instant::now() + wait);
                let text = format!("report failed: {error}; tried again in {} s", wait.as_millis().div_ceil(1000));
                log::warn!("{text}");
                Some(text)
            }
        };
        let now_ms = self.clock.now().boot_ms;
        view.send_modify(|view| {
            view.last_report_boot_ms = if accepted { Some(now_ms) } else { view.last_report_boot_ms };
            view.next_report_boot_ms = if accepted { None } else { Some(self.due_ms()) };
            view.reports += 1;
            view.reports_failed += u64::from(!accepted);
            view.report_error = error;
            view.report_failures = self.retry.failures();
            view.report_refused_apps = refused;
        });
    }

    fn show_due(&self, view: &watch::Sender<CloudView>) {
        let due = Some(self.due_ms());
        view.send_if_modified(|view| std::mem::replace(&mut view.next_report_boot_ms, due) != due);
    }

    fn show_nothing_due(&self, view: &watch::Sender<CloudView>) {
        view.send_if_modified(|view| view.next_report_boot_ms.take().is_some());
    }

    fn due_ms(&self) -> i64 {
        let wait = self.not_before.saturating_duration_since(Instant::now());
        self.clock.now().boot_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests;
