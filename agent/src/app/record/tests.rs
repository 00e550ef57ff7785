//! When something is written, and that it is bounded.

use std::sync::Mutex;

use super::*;
use crate::store::{Loaded, StoreError, StoreHealth};

/// Counts what it is asked to write.
#[derive(Default)]
struct Counting {
    waiting: Mutex<usize>,
    written: Mutex<Vec<(Option<String>, usize)>>,
}

impl Counting {
    fn write(&self, state: Option<String>) {
        let events = std::mem::take(&mut *self.waiting.lock().unwrap());
        if state.is_some() || events > 0 {
            self.written.lock().unwrap().push((state, events));
        }
    }

    fn writes(&self) -> Vec<(Option<String>, usize)> {
        self.written.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Store for Counting {
    async fn load(&self, _: &str, _: &str) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let state = changes.into_iter().find_map(|change| match change {
            Change::Snapshot { state } => Some(state),
            _ => None,
        });
        self.write(state);
        Ok(())
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::default()
    }

    fn note(&self, _: &Event) {
        *self.waiting.lock().unwrap() += 1;
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.write(None);
        Ok(())
    }
}

struct Ground {
    store: Arc<Counting>,
    view: watch::Sender<Arc<View>>,
    events: Option<broadcast::Sender<Event>>,
    shutdown: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn ground() -> Ground {
    let store = Arc::new(Counting::default());
    let (view, events, shutdown) = (watch::Sender::default(), broadcast::Sender::new(64), watch::Sender::new(false));
    let recorder =
        Recorder { store: store.clone(), views: view.subscribe(), events: events.subscribe(), shutdown: shutdown.subscribe() };
    Ground { store, view, events: Some(events), shutdown, task: tokio::spawn(recorder.run()) }
}

impl Ground {
    fn show(&self, phase: Phase, os: &str) {
        let device = crate::host::DeviceInfo { os_version: Some(os.into()), ..Default::default() };
        self.view.send_replace(Arc::new(View { phase, device: Arc::new(device), ..View::default() }));
    }

    fn say(&self, level: Level, message: &str) {
        let event = Event::note(level, message.into(), None);
        self.events.as_ref().unwrap().send(event).unwrap();
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn settling_is_written_once_and_events_go_along() {
    let ground = ground();
    ground.say(Level::Info, "Starting");
    ground.show(Phase::Applying, "1");
    pass(Duration::from_secs(5)).await;
    assert_eq!(ground.store.writes(), []);
    ground.show(Phase::Settled, "1");
    pass(Duration::from_secs(1)).await;
    let written = ground.store.writes();
    assert!(matches!(&written[..], [(Some(_), 1)]), "{written:?}");
    // The same again, for a day: nothing.
    for _ in 0..288 {
        ground.show(Phase::Settled, "1");
        pass(Duration::from_secs(300)).await;
    }
    assert_eq!(ground.store.writes().len(), 1);
    ground.show(Phase::Settled, "2");
    pass(Duration::from_secs(1)).await;
    assert_eq!(ground.store.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn events_that_find_no_commit_are_written_after_a_while() {
    let ground = ground();
    ground.show(Phase::Waiting, "1");
    ground.say(Level::Info, "waiting for a lock");
    pass(EVENTS_WAIT - Duration::from_secs(1)).await;
    assert_eq!(ground.store.writes(), []);
    pass(Duration::from_secs(2)).await;
    assert_eq!(ground.store.writes(), [(None, 1)]);
    ground.say(Level::Error, "failed");
    pass(ERRORS_WAIT + Duration::from_secs(1)).await;
    assert_eq!(ground.store.writes(), [(None, 1), (None, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_and_goes_is_written_seldom() {
    let ground = ground();
    for round in 0..3600 {
        ground.show(Phase::Settled, &round.to_string());
        ground.say(Level::Error, "crashed");
        pass(Duration::from_secs(1)).await;
        ground.show(Phase::Applying, &round.to_string());
        pass(Duration::from_secs(1)).await;
    }
    let writes = ground.store.writes().len();
    assert!((12..=20).contains(&writes), "{writes} in two hours");
}

#[tokio::test(start_paused = true)]
async fn the_last_words_are_kept() {
    let mut ground = ground();
    ground.shutdown.send_replace(true);
    pass(Duration::from_secs(1)).await;
    ground.say(Level::Info, "a step ended");
    ground.events = None;
    ground.task.await.unwrap();
    assert_eq!(ground.store.writes(), [(None, 1)]);
}
