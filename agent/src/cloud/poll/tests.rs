//! The poll loop under paused time, against a scripted cloud.

use std::collections::VecDeque;
use std::sync::Mutex;

use holdfast_plan::policy::Now;
use tokio::sync::mpsc;
use tokio::time::{Instant, advance};

use super::*;
use crate::cloud::Report;
use crate::store::{Loaded, StoreError, StoreHealth};

const UUID: &str = "0123456789abcdef0123456789abcdef";
const SOURCE: &str = "https://api.example.com";

struct ScriptedCloud {
    answers: Mutex<VecDeque<Result<TargetAnswer, CloudError>>>,
    asked: Mutex<Vec<(Duration, Option<String>)>>,
    begin: Instant,
}

#[async_trait::async_trait]
impl Cloud for ScriptedCloud {
    async fn target(&self, etag: Option<&str>) -> Result<TargetAnswer, CloudError> {
        self.asked.lock().unwrap().push((self.begin.elapsed(), etag.map(str::to_owned)));
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(TargetAnswer::Unchanged))
    }

    async fn report(&self, _fields: &Report) -> Result<(), CloudError> {
        Ok(())
    }
}

#[derive(Default)]
struct NotedStore {
    commits: Mutex<Vec<Vec<Change>>>,
    full: Mutex<bool>,
}

#[async_trait::async_trait]
impl Store for NotedStore {
    async fn load(&self, _source: &str, _uuid: &str) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if *self.full.lock().unwrap() {
            return Err(StoreError::Failed { path: "database.sqlite".into(), message: "disk full".into() });
        }
        self.commits.lock().unwrap().push(changes);
        Ok(())
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Now {
        Now { wall_ms: None, machine_ms: 0, boot_ms: i64::try_from(self.0.elapsed().as_millis()).unwrap() }
    }
}

struct Bench {
    cloud: Arc<ScriptedCloud>,
    store: Arc<NotedStore>,
    now: mpsc::Sender<PollNow>,
    arrived: mpsc::Receiver<Arrived>,
    view: watch::Receiver<CloudView>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn start(answers: Vec<Result<TargetAnswer, CloudError>>, stored: Option<StoredTarget>) -> Bench {
        let begin = Instant::now();
        let cloud = Arc::new(ScriptedCloud { answers: Mutex::new(answers.into()), asked: Mutex::default(), begin });
        let store = Arc::new(NotedStore::default());
        let timing = Timing {
            poll_interval: Duration::from_secs(900),
            poll_jitter: Duration::from_secs(60),
            report_interval: Duration::from_secs(10),
        };
        let settings = PollSettings { source: SOURCE.into(), uuid: UUID.into() };
        let (_, timing) = watch::channel(timing);
        let clock = Arc::new(PausedClock(begin));
        let rng = fastrand::Rng::with_seed(1);
        let poller = Poller::new(settings, timing, cloud.clone(), store.clone(), clock, rng, stored.as_ref());
        let (now, now_rx) = mpsc::channel(8);
        let (arrived_tx, arrived) = mpsc::channel(8);
        let (view_tx, view) = watch::channel(CloudView::default());
        let (shutdown, shutdown_rx) = watch::channel(false);
        let links = PollLinks { now: now_rx, arrived: arrived_tx, view: view_tx, shutdown: shutdown_rx };
        Bench { cloud, store, now, arrived, view, shutdown, task: tokio::spawn(poller.run(links)) }
    }

    /// Lets the loop come to rest.
    async fn rest(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn after(&self, seconds: u64) {
        self.rest().await;
        advance(Duration::from_secs(seconds)).await;
        self.rest().await;
    }

    fn polls(&self) -> Vec<(u64, Option<String>)> {
        self.cloud.asked.lock().unwrap().iter().map(|(at, etag)| (at.as_secs(), etag.clone())).collect()
    }

    fn commits(&self) -> usize {
        self.store.commits.lock().unwrap().len()
    }

    async fn ask(&self, from: &str, force: bool) {
        self.now.send(PollNow { from: from.into(), force, cancel: false }).await.unwrap();
        self.rest().await;
    }
}

fn body(name: &str) -> String {
    format!(r#"{{"{UUID}": {{"name": "{name}", "config": {{}}, "apps": {{}}}}}}"#)
}

fn answer(name: &str, etag: &str) -> Result<TargetAnswer, CloudError> {
    Ok(TargetAnswer::Body { text: body(name), etag: Some(etag.into()) })
}

fn failure(retry_after: Option<u64>) -> Result<TargetAnswer, CloudError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(CloudError::Status { call: "GET x".into(), status: 500, message: String::new(), retry_after })
}

fn stored(name: &str, etag: &str) -> StoredTarget {
    StoredTarget { source: SOURCE.into(), uuid: UUID.into(), etag: Some(etag.into()), body: body(name) }
}

#[tokio::test(start_paused = true)]
async fn a_new_target_is_stored_with_its_etag_and_then_published() {
    let mut bench = Bench::start(vec![answer("one", "e1")], None);
    bench.rest().await;
    let arrived = bench.arrived.try_recv().unwrap();
    assert_eq!(arrived.target.unwrap().name, "one");
    assert_eq!(arrived.asked, None);
    assert_eq!(*bench.store.commits.lock().unwrap(), [[Change::Target(stored("one", "e1"))]]);
    bench.after(899).await;
    assert_eq!(bench.polls().len(), 1);
    bench.after(62).await;
    assert_eq!(bench.polls().len(), 2);
    assert_eq!(bench.polls()[1].1.as_deref(), Some("e1"));
    assert_eq!(bench.commits(), 1);
    assert!(bench.arrived.try_recv().is_err());
    assert_eq!(bench.view.borrow().poll_error, None);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_stored_etag_is_sent() {
    let mut bench = Bench::start(vec![], Some(stored("one", "e1")));
    bench.rest().await;
    assert_eq!(bench.polls(), [(0, Some("e1".into()))]);
    assert!(bench.arrived.try_recv().is_err());
    assert_eq!(bench.view.borrow().last_poll_boot_ms, Some(0));
    let other = StoredTarget { source: "local".into(), ..stored("one", "e1") };
    let bench = Bench::start(vec![], Some(other));
    bench.rest().await;
    assert_eq!(bench.polls(), [(0, None)]);
    assert!(bench.view.borrow().poll_error.as_deref().unwrap().contains("304"));
}

#[tokio::test(start_paused = true)]
async fn the_same_body_with_another_etag_is_stored_and_not_published() {
    let mut bench = Bench::start(vec![answer("one", "e2"), answer("one", "e2")], Some(stored("one", "e1")));
    bench.rest().await;
    assert_eq!(*bench.store.commits.lock().unwrap(), [[Change::Target(stored("one", "e2"))]]);
    bench.after(961).await;
    assert_eq!(bench.polls()[1].1.as_deref(), Some("e2"));
    assert_eq!(bench.commits(), 1);
    assert!(bench.arrived.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_keeps_the_target_in_force_and_says_why() {
    let html = Ok(TargetAnswer::Body { text: "<html>".into(), etag: Some("e9".into()) });
    let mut bench = Bench::start(vec![html, answer("two", "e2")], Some(stored("one", "e1")));
    bench.rest().await;
    assert_eq!(bench.commits(), 0);
    let error = bench.view.borrow().poll_error.clone().unwrap();
    assert!(error.contains("HTML page") && error.contains("previous target stays in force, asked again in 1"), "{error}");
    bench.after(17).await;
    assert_eq!(bench.polls()[1].1.as_deref(), Some("e1"));
    assert_eq!(bench.arrived.try_recv().unwrap().target.unwrap().name, "two");
    assert_eq!((bench.view.borrow().poll_error.clone(), bench.view.borrow().poll_failures), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_longer_and_retry_after_is_seconds() {
    let bench = Bench::start(vec![failure(None), failure(None), failure(Some(600)), answer("one", "e1")], None);
    for _ in 0..700 {
        bench.after(1).await;
    }
    let at: Vec<u64> = bench.polls().iter().map(|(at, _)| *at).collect();
    let waits: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 3, "{at:?}");
    assert!((15..=17).contains(&waits[0]) && (30..=34).contains(&waits[1]) && (600..=661).contains(&waits[2]), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_stored_takes_no_force_until_it_can() {
    let mut bench = Bench::start(vec![answer("two", "e2"), answer("two", "e2")], Some(stored("one", "e1")));
    *bench.store.full.lock().unwrap() = true;
    bench.rest().await;
    assert!(bench.arrived.try_recv().is_err());
    let error = bench.view.borrow().poll_error.clone().unwrap();
    assert!(error.contains("could not be stored") && error.contains("disk full"), "{error}");
    *bench.store.full.lock().unwrap() = false;
    bench.after(17).await;
    assert_eq!(bench.polls()[1].1.as_deref(), Some("e1"));
    assert_eq!(bench.arrived.try_recv().unwrap().target.unwrap().name, "two");
}

#[tokio::test(start_paused = true)]
async fn a_request_polls_at_once_also_within_a_wait_after_failures() {
    let mut bench = Bench::start(vec![failure(Some(3600)), answer("one", "e1"), failure(None)], None);
    bench.rest().await;
    bench.ask("local API", true).await;
    assert_eq!(bench.polls().len(), 2);
    let arrived = bench.arrived.try_recv().unwrap();
    assert_eq!(arrived.target.unwrap().name, "one");
    assert!(arrived.asked.unwrap().force);
    // Whoever asked is answered also when the cloud is away and when nothing is new.
    for _ in 0..2 {
        bench.ask("local API", true).await;
        let arrived = bench.arrived.try_recv().unwrap();
        assert!(arrived.target.is_none() && arrived.asked.unwrap().force);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_together_are_served_together() {
    let mut bench = Bench::start(vec![], Some(stored("one", "e1")));
    for (from, force) in [("local API", false), ("cloud", true), ("cloud", false)] {
        bench.now.try_send(PollNow { from: from.into(), force, cancel: false }).unwrap();
    }
    bench.rest().await;
    assert_eq!(bench.polls().len(), 2);
    let asked = bench.arrived.try_recv().unwrap().asked.unwrap();
    assert_eq!(asked, PollNow { from: "local API, cloud".into(), force: true, cancel: false });
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_with_the_shutdown_or_its_links() {
    let bench = Bench::start(vec![], None);
    bench.rest().await;
    bench.shutdown.send(true).unwrap();
    bench.task.await.unwrap();

    let Bench { task, now, arrived, shutdown, .. } = Bench::start(vec![], None);
    drop(now);
    task.await.unwrap();
    drop((arrived, shutdown));
}

#[tokio::test(start_paused = true)]
async fn nothing_wakes_the_loop_between_polls() {
    let bench = Bench::start(vec![], Some(stored("one", "e1")));
    bench.rest().await;
    let mut view = bench.view.clone();
    view.mark_unchanged();
    bench.after(890).await;
    assert!(!view.has_changed().unwrap());
    assert_eq!(bench.polls().len(), 1);
}
