//! Containers that come, go and are started again, on an engine that the test makes up.

use std::io;
use std::sync::Mutex;

use futures_util::stream;
use tokio::sync::watch;

use super::*;
use crate::engine::{Content, EngineError, EngineInfo, Events, LogLine, LogLines, Progress, RegistryAuth, Result};
use crate::logs::Source;

/// Logs by container; each grows and ends by the test's will.
#[derive(Default)]
struct Fake {
    logs: Mutex<BTreeMap<String, watch::Sender<Log>>>,
    asked: Mutex<Vec<(String, LogRange)>>,
}

#[derive(Clone, Default)]
struct Log {
    lines: Vec<(i64, &'static str)>,
    ended: bool,
    unreadable: bool,
}

impl Fake {
    fn log(&self, id: &str) -> watch::Sender<Log> {
        self.logs.lock().unwrap().entry(id.to_owned()).or_default().clone()
    }

    fn write(&self, id: &str, time_ns: i64, text: &'static str) {
        self.log(id).send_modify(|log| log.lines.push((time_ns, text)));
    }

    fn end(&self, id: &str, ended: bool) {
        self.log(id).send_modify(|log| log.ended = ended);
    }
}

#[async_trait::async_trait]
impl Engine for Fake {
    async fn logs(&self, id: &str, range: &LogRange) -> Result<LogLines> {
        self.asked.lock().unwrap().push((id.to_owned(), *range));
        let log = self.log(id);
        if log.borrow().unreadable {
            return Err(EngineError::Failed { object: id.into(), message: "no driver".into() });
        }
        let lines: Vec<_> = log.borrow().lines.clone();
        let from = range.since_ns.unwrap_or(i64::MIN);
        let skip = range.last.map_or(0, |last| lines.len().saturating_sub(last as usize));
        let line = |(time_ns, text): (i64, &'static str)| LogLine { time_ns, is_error: false, text: text.as_bytes().to_vec() };
        let there = lines.iter().skip(skip).filter(|(time, _)| *time >= from).copied().map(move |l| io::Result::Ok(line(l)));
        let there: Vec<_> = there.collect();
        if !range.follow {
            return Ok(stream::iter(there).boxed());
        }
        let begin = (log.subscribe(), lines.len());
        let rest = stream::unfold(begin, move |(mut log, at)| async move {
            let found = log.wait_for(|log| log.lines.len() > at || log.ended).await.ok()?.lines.get(at).copied()?;
            Some((Ok(line(found)), (log, at + 1)))
        });
        Ok(stream::iter(there).chain(rest).boxed())
    }

    async fn describe(&self) -> Result<EngineInfo> {
        unreachable!()
    }
    async fn observe(&self) -> Result<holdfast_plan::current::EngineState> {
        unreachable!()
    }
    fn forget_cache(&self) {}
    async fn events(&self) -> Result<Events> {
        unreachable!()
    }
    async fn pull(
        &self,
        _: &holdfast_plan::target::ImageRef,
        _: Option<&RegistryAuth>,
        _: Progress,
    ) -> Result<holdfast_plan::current::Image> {
        unreachable!()
    }
    async fn remove_image(&self, _: &holdfast_plan::target::ImageRef) -> Result<()> {
        unreachable!()
    }
    async fn remove_image_by_id(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn create_network(&self, _: &str, _: &holdfast_plan::target::NetworkSpec, _: u64) -> Result<()> {
        unreachable!()
    }
    async fn remove_network(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn create_volume(&self, _: &str, _: &holdfast_plan::target::VolumeSpec, _: &String) -> Result<()> {
        unreachable!()
    }
    async fn remove_volume(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn read_volume(&self, _: &str, _: &str) -> Result<Content> {
        unreachable!()
    }
    async fn write_volume(&self, _: &str, _: &str, _: Content) -> Result<()> {
        unreachable!()
    }
    async fn empty_volume(&self, _: &holdfast_plan::current::Volume) -> Result<()> {
        unreachable!()
    }
    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>> {
        unreachable!()
    }
    async fn sweep_copies(&self) -> Result<()> {
        unreachable!()
    }
    async fn create_container(&self, _: &holdfast_plan::container::ContainerSpec) -> Result<String> {
        unreachable!()
    }
    async fn start_container(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn stop_container(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn remove_container(&self, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn rename_container(&self, _: &str, _: &str) -> Result<()> {
        unreachable!()
    }
    async fn set_restart_policy(&self, _: &str, _: holdfast_plan::container::RestartPolicy) -> Result<()> {
        unreachable!()
    }
}

struct Told(watch::Receiver<Vec<Subject>>);

impl Subjects for Told {
    fn now(&mut self) -> Vec<Subject> {
        self.0.borrow_and_update().clone()
    }

    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async { self.0.changed().await.unwrap() })
    }
}

fn subject(container: &str, is_up: bool, started_ms: i64) -> Subject {
    let service = container.split('-').next().unwrap().to_owned();
    Subject { container: container.into(), service, is_up, started_ms: Some(started_ms), ..Subject::default() }
}

struct Ground {
    engine: Arc<Fake>,
    subjects: watch::Sender<Vec<Subject>>,
}

fn ground(subjects: Vec<Subject>) -> Ground {
    Ground { engine: Arc::default(), subjects: watch::Sender::new(subjects) }
}

impl Ground {
    fn gather(&self, wish: LogWish) -> Receiver<Line> {
        gather(self.engine.clone(), Box::new(Told(self.subjects.subscribe())), wish)
    }
}

/// The next lines, by their texts.
async fn take(lines: &mut Receiver<Line>, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(lines.recv().await.expect("it goes on").text);
    }
    texts
}

#[tokio::test(start_paused = true)]
async fn what_is_there_comes_in_the_order_of_its_times() {
    let ground = ground(vec![subject("a", true, 1), subject("b", false, 1), subject("c", true, 1)]);
    for (id, time, text) in [("a", 1, "a1"), ("b", 2, "b2"), ("a", 3, "a3"), ("b", 3, "b3"), ("a", 9, "a9")] {
        ground.engine.write(id, time, text);
    }
    ground.engine.log("c").send_modify(|log| log.unreadable = true);
    let mut lines = ground.gather(LogWish { lines: Some(2), ..LogWish::default() });
    let first = lines.recv().await.unwrap();
    assert_eq!((first.source, first.text.as_str()), (Source::System, "c: no driver"));
    let mut rest = Vec::new();
    while let Some(line) = lines.recv().await {
        rest.push(line.text);
    }
    assert_eq!(rest, ["b2", "a3", "b3", "a9"], "the two newest of each");
}

#[tokio::test(start_paused = true)]
async fn containers_that_are_replaced_or_started_again_are_followed_without_loss_or_repetition() {
    let ground = ground(vec![subject("a-1", true, 1)]);
    ground.engine.write("a-1", 5, "old");
    let mut lines = ground.gather(LogWish { lines: Some(10), follow: true, ..LogWish::default() });
    assert_eq!(take(&mut lines, 1).await, ["old"]);
    // Two lines of one time, the second after the log was broken off between them.
    ground.engine.write("a-1", 6, "six");
    assert_eq!(take(&mut lines, 1).await, ["six"]);
    ground.engine.end("a-1", true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    ground.engine.write("a-1", 6, "six again");
    ground.engine.end("a-1", false);
    assert_eq!(take(&mut lines, 1).await, ["six again"]);
    // Its successor joins with all it wrote, the old one's last words come too.
    ground.engine.write("a-2", 7, "new");
    ground.subjects.send_replace(vec![subject("a-1", true, 1), subject("a-2", true, 7)]);
    assert_eq!(take(&mut lines, 1).await, ["new"]);
    ground.engine.write("a-1", 8, "last words");
    ground.engine.end("a-1", true);
    ground.subjects.send_replace(vec![subject("a-2", true, 7)]);
    assert_eq!(take(&mut lines, 1).await, ["last words"]);
    // One that ended before anybody saw it run.
    ground.engine.write("b-1", 9, "short");
    ground.engine.end("b-1", true);
    ground.subjects.send_replace(vec![subject("a-2", true, 7), subject("b-1", false, 9)]);
    assert_eq!(take(&mut lines, 1).await, ["short"]);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(lines.try_recv().is_err());
    let asked = ground.engine.asked.lock().unwrap().len();
    assert!(asked < 12, "{asked} requests, though nothing happened for an hour");
}

#[tokio::test(start_paused = true)]
async fn from_now_on_means_nothing_older() {
    let ground = ground(vec![subject("a", true, 1)]);
    ground.engine.write("a", 5, "before");
    let mut lines = ground.gather(LogWish { lines: Some(0), follow: true, now_ns: 6, ..LogWish::default() });
    tokio::time::sleep(Duration::from_millis(10)).await;
    ground.engine.write("a", 6, "after");
    assert_eq!(take(&mut lines, 1).await, ["after"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_reading_means_nothing_is_asked_for() {
    let ground = ground(vec![subject("a", true, 1)]);
    (0..1000).for_each(|time| ground.engine.write("a", time, "flood"));
    let lines = ground.gather(LogWish { lines: None, follow: true, ..LogWish::default() });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lines.len(), WAITING);
    drop(lines);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ground.engine.log("a").receiver_count(), 0, "the engine is let go");
    assert_eq!(Arc::strong_count(&ground.engine), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_could_not_be_read_at_first_is_not_told_from_its_beginning() {
    let more = |number: usize| format!("more-{number:03}");
    let mut subjects = vec![subject("a", true, 1)];
    subjects.extend((0..MOST).map(|number| subject(&more(number), false, 1)));
    let ground = ground(subjects);
    for id in ["a".to_owned(), more(MOST - 1)] {
        (0..100).for_each(|time| ground.engine.write(&id, time, "long ago"));
        ground.engine.write(&id, 100, "last");
    }
    ground.engine.end(&more(MOST - 1), true);
    ground.engine.log("a").send_modify(|log| log.unreadable = true);
    let mut lines = ground.gather(LogWish { lines: Some(1), follow: true, ..LogWish::default() });
    let mut told = Vec::new();
    // One container more than are read at once: it is read when there is room.
    for number in 0..MOST - 1 {
        ground.engine.end(&more(number), true);
    }
    let until = tokio::time::Instant::now() + Duration::from_secs(120);
    while let Ok(Some(line)) = tokio::time::timeout_at(until, lines.recv()).await {
        if line.source == Source::System {
            ground.engine.log("a").send_modify(|log| log.unreadable = false);
        } else {
            told.push((line.subject.service.clone(), line.text));
        }
    }
    told.sort();
    assert_eq!(told, [("a".to_owned(), "last".to_owned()), ("more".to_owned(), "last".to_owned())]);
    ground.engine.write("a", 101, "next");
    assert_eq!(take(&mut lines, 1).await, ["next"]);
}
