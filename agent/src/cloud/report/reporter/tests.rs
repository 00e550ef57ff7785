//! The report loop under paused time, against a cloud that judges what it is told.

use std::sync::Mutex;
use std::time::Duration;

use holdfast_plan::policy::Now;
use tokio::time::advance;

use super::*;
use crate::cloud::TargetAnswer;

type Judge = Box<dyn Fn(&Report, usize) -> Result<(), CloudError> + Send + Sync>;

struct JudgingCloud {
    judge: Judge,
    heard: Mutex<Vec<(u64, Value)>>,
    begin: Instant,
}

#[async_trait::async_trait]
impl Cloud for JudgingCloud {
    async fn target(&self, _etag: Option<&str>) -> Result<TargetAnswer, CloudError> {
        Ok(TargetAnswer::Unchanged)
    }

    async fn report(&self, fields: &Report) -> Result<(), CloudError> {
        let mut heard = self.heard.lock().unwrap();
        heard.push((self.begin.elapsed().as_secs(), Value::Object(fields.clone())));
        (self.judge)(fields, heard.len())
    }
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Now {
        Now { wall_ms: None, machine_ms: 0, boot_ms: i64::try_from(self.0.elapsed().as_millis()).unwrap() }
    }
}

struct Bench {
    cloud: Arc<JudgingCloud>,
    full: watch::Sender<Option<Arc<Report>>>,
    view: watch::Receiver<CloudView>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn start(cache: Option<PathBuf>, judge: impl Fn(&Report, usize) -> Result<(), CloudError> + Send + Sync + 'static) -> Bench {
        let begin = Instant::now();
        let cloud = Arc::new(JudgingCloud { judge: Box::new(judge), heard: Mutex::default(), begin });
        let timing = Timing {
            poll_interval: Duration::from_secs(900),
            poll_jitter: Duration::ZERO,
            report_interval: Duration::from_secs(10),
        };
        let (_, timing) = watch::channel(timing);
        let settings = ReportSettings { endpoint: "e".into(), uuid: "u".into(), cache };
        let rng = fastrand::Rng::with_seed(1);
        let reporter = Reporter::new(settings, timing, cloud.clone(), Arc::new(PausedClock(begin)), rng);
        let (full, full_rx) = watch::channel(None);
        let (view_tx, view) = watch::channel(CloudView::default());
        let (shutdown, shutdown_rx) = watch::channel(false);
        let links = ReportLinks { full: full_rx, view: view_tx, shutdown: shutdown_rx };
        Bench { cloud, full, view, shutdown, task: tokio::spawn(reporter.run(links)) }
    }

    async fn say(&self, report: Value) {
        self.full.send_replace(Some(Arc::new(report.as_object().unwrap().clone())));
        self.after(0).await;
    }

    async fn after(&self, seconds: u64) {
        for step in 0..=seconds {
            if step > 0 {
                advance(Duration::from_secs(1)).await;
            }
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn heard(&self) -> Vec<(u64, Value)> {
        std::mem::take(&mut *self.cloud.heard.lock().unwrap())
    }
}

fn unauthorised() -> CloudError {
    CloudError::Unauthorised { call: "PATCH x".into(), meaning: "no", retry_after: None }
}

fn failed(retry_after: Option<u64>) -> CloudError {
    let retry_after = retry_after.map(Duration::from_secs);
    CloudError::Status { call: "PATCH x".into(), status: 503, message: String::new(), retry_after }
}

fn app(commit: &str, status: &str) -> Value {
    let service = json!({ "image": format!("r.example.com/{commit}"), "status": status });
    json!({ "releases": { commit: { "update_status": "done", "services": { "main": service } } } })
}

fn mentions(fields: &Report, word: &str) -> bool {
    Value::Object(fields.clone()).to_string().contains(word)
}

#[tokio::test(start_paused = true)]
async fn only_news_is_sent_and_not_more_often_than_the_interval() {
    let bench = Bench::start(None, |_, _| Ok(()));
    bench.after(60).await;
    assert_eq!(bench.heard(), []);
    bench.say(json!({ "status": "Idle", "api_port": 1 })).await;
    assert_eq!(bench.heard(), [(60, json!({ "status": "Idle", "api_port": 1 }))]);
    for port in 2..6 {
        bench.say(json!({ "status": "Idle", "api_port": port })).await;
        bench.after(1).await;
    }
    assert_eq!(bench.heard(), []);
    bench.after(6).await;
    assert_eq!(bench.heard(), [(70, json!({ "api_port": 5 }))]);
    // What changed and changed back within the interval is no news.
    bench.say(json!({ "status": "Busy", "api_port": 5 })).await;
    bench.say(json!({ "status": "Idle", "api_port": 5 })).await;
    bench.after(600).await;
    assert_eq!(bench.heard(), []);
    assert_eq!(bench.view.borrow().next_report_boot_ms, None);
    assert_eq!(bench.view.borrow().last_report_boot_ms, Some(70_000));
}

#[tokio::test(start_paused = true)]
async fn a_failed_report_is_tried_again_with_what_holds_then() {
    let bench = Bench::start(None, |_, n| match n {
        1 => Err(failed(None)),
        2 => Err(failed(Some(120))),
        _ => Ok(()),
    });
    bench.say(json!({ "a": 1 })).await;
    assert!(bench.view.borrow().report_error.as_deref().unwrap().contains("answered 503"));
    assert_eq!(bench.view.borrow().report_failures, 1);
    bench.say(json!({ "a": 2 })).await;
    bench.after(40).await;
    bench.say(json!({ "a": 2, "b": 1 })).await;
    bench.after(160).await;
    let heard = bench.cloud.heard.lock().unwrap().clone();
    let at: Vec<u64> = heard.iter().map(|(at, _)| *at).collect();
    assert_eq!(at.len(), 3);
    assert!((15..=17).contains(&at[1]) && (120..=133).contains(&(at[2] - at[1])), "{at:?}");
    assert_eq!(heard[2].1, json!({ "a": 2, "b": 1 }));
    assert_eq!((bench.view.borrow().report_error.clone(), bench.view.borrow().report_failures), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn one_bad_app_does_not_silence_the_others() {
    let bench = Bench::start(None, |fields, _| if mentions(fields, "deleted") { Err(unauthorised()) } else { Ok(()) });
    let report = |status: &str, bad: &str| json!({ "api_port": 1, "apps": { "bad": app(bad, status), "good": app("fine", status), "nice": app("well", status) } });
    bench.say(report("Running", "deleted")).await;
    let heard = bench.heard();
    assert_eq!(heard.last().unwrap().1, json!({ "apps": { "good": app("fine", "Running"), "nice": app("well", "Running") } }));
    assert!(heard.iter().any(|(_, fields)| *fields == json!({ "api_port": 1 })));
    assert_eq!(bench.view.borrow().report_refused_apps, ["bad"]);
    assert!(bench.view.borrow().report_error.as_deref().unwrap().contains("refuses to hear of app(s) bad"));
    // While it mentions the same, it is left out at once, whatever its state.
    bench.after(20).await;
    bench.say(report("exited", "deleted")).await;
    assert_eq!(bench.heard(), [(20, json!({ "apps": { "good": app("fine", "exited"), "nice": app("well", "exited") } }))]);
    // With another release it is tried again.
    bench.after(20).await;
    bench.say(report("exited", "new")).await;
    assert_eq!(bench.heard()[0].1["apps"]["bad"], app("new", "exited"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_app_is_tried_again_after_a_while() {
    let bench = Bench::start(None, |_, n| if n == 1 { Err(unauthorised()) } else { Ok(()) });
    let report = json!({ "apps": { "a": app("late", "Running") } });
    bench.say(report.clone()).await;
    assert_eq!(bench.heard(), [(0, report.clone()), (0, json!({ "status": "Idle" }))]);
    bench.after(899).await;
    assert_eq!(bench.heard(), []);
    // The first call of the next try is the third of all; the count begins anew because the list was taken.
    bench.cloud.heard.lock().unwrap().push((0, Value::Null));
    bench.after(2).await;
    assert_eq!(bench.heard()[1..], [(900, report)]);
    assert!(bench.view.borrow().report_refused_apps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_settled_release_the_cloud_forgot_is_left_out_alone() {
    let bench = Bench::start(None, |fields, _| if mentions(fields, "forgotten") { Err(unauthorised()) } else { Ok(()) });
    let mut entry = app("fine", "Running");
    entry["release_uuid"] = json!("forgotten");
    bench.say(json!({ "api_port": 1, "apps": { "a": entry } })).await;
    assert_eq!(bench.heard().last().unwrap().1, json!({ "apps": { "a": app("fine", "Running") } }));
    assert_eq!(bench.view.borrow().report_refused_apps, [""; 0]);
    let settled = |status: &str| {
        let mut entry = app("fine", status);
        entry["release_uuid"] = json!("fine");
        entry
    };
    bench.after(10).await;
    bench.say(json!({ "api_port": 1, "apps": { "a": settled("Running") } })).await;
    assert_eq!(bench.heard(), [(10, json!({ "apps": { "a": settled("Running") } }))]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_is_not_blamed_on_apps() {
    let bench = Bench::start(None, |_, _| Err(unauthorised()));
    bench.say(json!({ "api_port": 1, "apps": { "a": app("c", "Running"), "b": app("d", "Running") } })).await;
    assert_eq!(bench.heard().len(), 2);
    assert!(bench.view.borrow().report_refused_apps.is_empty());
    bench.after(14).await;
    assert_eq!(bench.heard(), []);
    bench.after(3).await;
    assert_eq!(bench.heard().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_says_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report");
    let report = json!({ "api_port": 1, "apps": { "a": app("c", "Running") } });
    let bench = Bench::start(Some(path.clone()), |_, _| Ok(()));
    bench.say(report.clone()).await;
    assert_eq!(bench.heard().len(), 1);
    bench.shutdown.send(true).unwrap();
    bench.task.await.unwrap();
    let bench = Bench::start(Some(path), |_, _| Ok(()));
    bench.say(report).await;
    bench.after(60).await;
    assert_eq!(bench.heard(), []);
}

#[tokio::test(start_paused = true)]
async fn the_loop_ends_with_its_source() {
    let Bench { full, task, .. } = Bench::start(None, |_, _| Ok(()));
    drop(full);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn measurements_alone_wait_for_five_minutes_and_small_changes_for_ever() {
    let bench = Bench::start(None, |_, _| Ok(()));
    bench.say(json!({ "api_port": 1, "cpu_temp": 41, "storage_usage": 7 })).await;
    assert_eq!(bench.heard(), [(0, json!({ "api_port": 1, "cpu_temp": 41, "storage_usage": 7 }))]);
    bench.after(100).await;
    bench.say(json!({ "api_port": 1, "cpu_temp": 44, "storage_usage": 8 })).await;
    bench.after(199).await;
    assert_eq!(bench.heard(), []);
    bench.after(1).await;
    assert_eq!(bench.heard(), [(300, json!({ "storage_usage": 8 }))], "44 degrees are in the same step as 41");
    bench.after(50).await;
    bench.say(json!({ "api_port": 1, "cpu_temp": 45, "storage_usage": 8 })).await;
    bench.say(json!({ "api_port": 2, "cpu_temp": 45, "storage_usage": 8 })).await;
    assert_eq!(bench.heard(), [(350, json!({ "api_port": 2, "cpu_temp": 45 }))], "other news takes them along");
    bench.say(json!({ "api_port": 2, "cpu_temp": 49, "storage_usage": 8 })).await;
    bench.after(1000).await;
    assert_eq!(bench.heard(), []);
}
