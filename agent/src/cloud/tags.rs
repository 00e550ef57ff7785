//! Tags that an application sets on its device (protocol §7): kept until the cloud has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::poll::stopped;
use super::{Cloud, CloudError, DeviceTag, Retry};
use crate::store::{Change, Store};

/// Under which name the store keeps the tags that were set: balena's, so that a device that changes agents goes on.
pub const TARGET_TAGS: &str = "targetTags";
/// The same for those the cloud has.
pub const REPORTED_TAGS: &str = "reportedTags";

/// Least time between two reports.
const INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// What all tags of a device may take together, bytes.
const MOST_BYTES: usize = 64 * 1024;

type Tags = BTreeMap<String, String>;

/// Tags that were set.
#[derive(Debug)]
pub struct TagChange {
    /// By name.
    pub tags: BTreeMap<String, String>,
    /// Told once they are stored.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// The loop that reports them.
pub struct TagReporter {
    cloud: Arc<dyn Cloud>,
    store: Arc<dyn Store>,
    retry: Retry,
    target: Tags,
    reported: Tags,
}

impl TagReporter {
    /// Makes the loop from what was stored.
    pub fn new(
        cloud: Arc<dyn Cloud>,
        store: Arc<dyn Store>,
        values: &BTreeMap<String, String>,
        rng: fastrand::Rng,
    ) -> TagReporter {
        let read = |name: &str| values.get(name).and_then(|text| tags_of(text)).unwrap_or_default();
        let (target, reported) = (read(TARGET_TAGS), read(REPORTED_TAGS));
        TagReporter { cloud, store, retry: Retry::new(LONGEST_WAIT, rng), target, reported }
    }

    /// Stores what is set and reports it, until nobody is left to set anything or the shutdown fires.
    pub async fn run(mut self, mut changes: mpsc::Receiver<TagChange>, mut shutdown: watch::Receiver<bool>) {
        let mut next = Instant::now();
        loop {
            let due = !self.news().is_empty();
            tokio::select! {
                biased;
                () = stopped(&mut shutdown) => return,
                Some(TagChange { tags, reply }) = changes.recv() => {
                    // Whoever asked may have gone away.
                    let _ = reply.send(self.take(tags).await);
                }
                () = sleep_until(next), if due => next = Instant::now() + self.send().await,
            }
        }
    }

    /// Tags the cloud does not have so.
    fn news(&self) -> Tags {
        let differs = |(name, value): &(&String, &String)| self.reported.get(*name) != Some(*value);
        self.target.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    async fn take(&mut self, tags: Tags) -> Result<(), String> {
        let mut target = self.target.clone();
        target.extend(tags);
        let bytes: usize = target.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MOST_BYTES {
            return Err(format!("all tags together would take {bytes} bytes; at most {MOST_BYTES} are kept"));
        }
        if target != self.target {
            self.store.commit(vec![value(TARGET_TAGS, &target)]).await.map_err(|error| error.to_string())?;
            self.target = target;
        }
        Ok(())
    }

    /// Sends what is new; how long to wait before the next time.
    async fn send(&mut self) -> Duration {
        let news = self.news();
        match self.cloud.report_tags(&news).await {
            Ok(()) => {
                self.retry.succeeded();
                self.reported.extend(news);
                if let Err(error) = self.store.commit(vec![value(REPORTED_TAGS, &self.reported)]).await {
                    log::warn!("which tags the cloud has is not stored, they are sent again at the next start: {error}");
                }
                INTERVAL
            }
            Err(error) => {
                let wait = self.retry.failed(error.retry_after()).max(INTERVAL);
                log::warn!("the device's tags could not be reported: {error}; tried again in {} s", wait.as_secs());
                wait
            }
        }
    }
}

fn value(name: &str, tags: &Tags) -> Change {
    Change::Value { name: name.to_owned(), value: Some(serde_json::json!(tags).to_string()) }
}

fn tags_of(text: &str) -> Option<Tags> {
    let Value::Object(members) = serde_json::from_str(text).ok()? else { return None };
    Some(members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect())
}

/// Reads the cloud's answer.
pub(super) fn read(body: &str) -> Result<Vec<DeviceTag>, CloudError> {
    let not_tags = || CloudError::NotATarget("the answer has no list of tags".into());
    let answer: Value = serde_json::from_str(body).map_err(|_| not_tags())?;
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let tag =
        |row: &Value| Some(DeviceTag { id: row.get("id")?.as_u64()?, name: text(row, "tag_key"), value: text(row, "value") });
    let rows = answer.get("d").and_then(Value::as_array).ok_or_else(not_tags)?;
    Ok(rows.iter().filter_map(tag).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cloud::{Report, TargetAnswer};
    use crate::store::InlineStore;

    #[derive(Default)]
    struct FakeCloud {
        got: Mutex<Vec<(Tags, Instant)>>,
        failures: Mutex<u32>,
    }

    #[async_trait::async_trait]
    impl Cloud for FakeCloud {
        async fn target(&self, _etag: Option<&str>) -> Result<TargetAnswer, CloudError> {
            Ok(TargetAnswer::Unchanged)
        }

        async fn report(&self, _fields: &Report) -> Result<(), CloudError> {
            Ok(())
        }

        async fn report_tags(&self, tags: &Tags) -> Result<(), CloudError> {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(CloudError::Settings("away".into()));
            }
            self.got.lock().unwrap().push((tags.clone(), Instant::now()));
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tags_are_kept_until_the_cloud_has_them_and_sent_only_when_they_change() {
        let (cloud, store) = (Arc::new(FakeCloud::default()), Arc::new(InlineStore::new()));
        *cloud.failures.lock().unwrap() = 2;
        let reporter = TagReporter::new(cloud.clone(), store.clone(), &BTreeMap::new(), fastrand::Rng::with_seed(1));
        let (changes, receiver) = mpsc::channel(1);
        let shutdown = watch::Sender::new(false);
        let task = tokio::spawn(reporter.run(receiver, shutdown.subscribe()));
        for value in ["one", "one", "two"] {
            let (reply, answer) = oneshot::channel();
            let tags = BTreeMap::from([("place".to_owned(), value.to_owned())]);
            changes.send(TagChange { tags, reply }).await.unwrap();
            answer.await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        let got = cloud.got.lock().unwrap().clone();
        let values: Vec<&str> = got.iter().map(|(tags, _)| tags["place"].as_str()).collect();
        assert_eq!(values, ["one", "two"]);
        shutdown.send_replace(true);
        task.await.unwrap();
        let values = store.load("", "").await.unwrap().values;
        assert_eq!(values[REPORTED_TAGS], r#"{"place":"two"}"#);
        assert!(TagReporter::new(cloud, store, &values, fastrand::Rng::with_seed(1)).news().is_empty());
    }

    #[test]
    fn the_clouds_answer_is_read() {
        let tags = read(r#"{"d":[{"id":7,"tag_key":"a","value":"b"},{"tag_key":"no id"}]}"#).unwrap();
        assert_eq!(tags, [DeviceTag { id: 7, name: "a".into(), value: "b".into() }]);
        assert!(read("[]").is_err() && read("<html>").is_err());
    }
}
