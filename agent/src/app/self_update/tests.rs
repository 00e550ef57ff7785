//! The keeper of the agent's own version, without the rest of the agent.

use std::path::Path;

use holdfast_plan::target::DeviceTarget;

use super::*;
use crate::clock::SystemClock;
use crate::engine::EngineInfo;
use crate::sandbox::engine::SimEngine;
use crate::slot::{Binary, Slot, Starts, Trial};
use crate::store::InlineStore;

/// A keeper, and what it is connected with.
struct Bench {
    keeper: SelfUpdate,
    view: watch::Sender<Arc<View>>,
    events: broadcast::Receiver<Event>,
    _data: tempfile::TempDir,
    _rest: (mpsc::Sender<Ask>, watch::Sender<bool>),
}

/// On a device without a cloud: nobody is left who would say anything about one.
fn bench(launched: Launched, slots: &Slots, time: Duration) -> Bench {
    let data = tempfile::tempdir().unwrap();
    let flags = crate::settings::Flags { data_dir: Some(data.path().display().to_string()), ..Default::default() };
    let (settings, _) = Settings::load(&flags, |_| None).unwrap();
    Folder::of(data.path()).store(slots).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let running = View { phase: Phase::Settled, engine: Some(EngineInfo::default()), ..View::default() };
    let (view, shutdown) = (watch::Sender::new(Arc::new(running)), watch::Sender::new(false));
    let (events, heard) = broadcast::channel(16);
    let (ask, asks) = mpsc::channel(1);
    let links = Links {
        store: Arc::new(InlineStore::new()),
        engine: Arc::new(SimEngine::new(fastrand::Rng::with_seed(1), clock.clone())),
        auth_for: Arc::new(|_| None),
        clock,
        view: view.subscribe(),
        cloud: watch::Sender::<CloudView>::default().subscribe(),
        events,
        asks,
        shown: watch::Sender::default(),
        restart: Arc::default(),
        shutdown: shutdown.subscribe(),
    };
    let keeper = SelfUpdate::new(&settings, Some(launched), Arc::new(TrialTime::new(time)), links);
    Bench { keeper, view, events: heard, _data: data, _rest: (ask, shutdown) }
}

fn binary(slot: Slot, content: &str) -> Binary {
    Binary { slot, sha256: crate::settings::sha256(content.as_bytes()), version: format!("1-{content}") }
}

fn on_trial(slot: Slot) -> Slots {
    let (binary, starts) = (binary(slot, "new"), Starts::default());
    let trial = Trial { binary, starts, total: 1, schema: 2, cloud: false, wish: None, verdict: None };
    Slots { trial: Some(trial), ..Slots::default() }
}

fn wants(view: &watch::Sender<Arc<View>>, sum: &str) {
    let config = [("HOLDFAST_AGENT_URL", "https://x/h"), ("HOLDFAST_AGENT_SHA256", sum)];
    let config = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let target = Some(Arc::new(DeviceTarget { config, ..DeviceTarget::default() }));
    view.send_modify(|view| *view = Arc::new(View { target, ..View::clone(view) }));
}

fn block(folder: &Path) {
    // What the record is prepared in.
    std::fs::create_dir(folder.join("slots.new")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_proved_itself_is_noted_as_soon_as_that_can_be_done() {
    let mut bench = bench(Launched::Slot(Slot::A), &on_trial(Slot::A), Duration::from_secs(300));
    bench.keeper.load();
    let folder = bench._data.path().join("agent");
    block(&folder);
    let time = bench.keeper.trial_time.clone();
    let repaired = async {
        tokio::time::sleep(Duration::from_secs(35)).await;
        // Whoever would end the trial knows already.
        assert!(time.is_proven());
        assert!(Folder::of(bench._data.path()).load().unwrap().trial.is_some());
        std::fs::remove_dir(folder.join("slots.new")).unwrap();
    };
    let (proved, ()) = tokio::join!(bench.keeper.prove(), repaired);
    assert!(proved);
    let slots = Folder::of(bench._data.path()).load().unwrap();
    assert!(slots.trial.is_none() && slots.kept == Some(binary(Slot::A, "new")));
    let said: Vec<_> = std::iter::from_fn(|| bench.events.try_recv().ok()).collect();
    assert_eq!(said.len(), 2, "that it cannot be noted, once, and that it is kept: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn what_proved_itself_before_the_agent_began_anew_is_not_tried_again() {
    let mut bench = bench(Launched::Slot(Slot::A), &on_trial(Slot::A), Duration::ZERO);
    bench.keeper.load();
    bench.view.send_replace(Arc::default());
    bench.keeper.trial_time.prove();
    assert!(bench.keeper.prove().await);
    assert!(Folder::of(bench._data.path()).load().unwrap().trial.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_misses_something_when_its_time_is_over_is_not_kept() {
    let mut bench = bench(Launched::Slot(Slot::A), &on_trial(Slot::A), Duration::ZERO);
    bench.keeper.load();
    bench.view.send_replace(Arc::default());
    assert!(!bench.keeper.prove().await);
    let verdict = Folder::of(bench._data.path()).load().unwrap().trial.unwrap().verdict.unwrap();
    assert!(verdict.contains("the engine has not answered"), "{verdict}");
}

#[tokio::test(start_paused = true)]
async fn what_is_whole_when_its_time_is_over_has_the_moment_it_takes() {
    let mut bench = bench(Launched::Slot(Slot::A), &on_trial(Slot::A), Duration::ZERO);
    bench.keeper.load();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(bench.keeper.prove().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_ended_is_not_kept_any_more() {
    let mut bench = bench(Launched::Slot(Slot::A), &on_trial(Slot::A), Duration::from_secs(300));
    bench.keeper.load();
    assert!(bench.keeper.trial_time.expire());
    assert!(tokio::time::timeout(Duration::from_secs(3600), bench.keeper.prove()).await.is_err());
    assert!(Folder::of(bench._data.path()).load().unwrap().trial.is_some());
}

#[tokio::test]
async fn a_spoilt_version_is_told_and_installed_once_more() {
    let kept = binary(Slot::A, "kept");
    let slots = Slots { kept: Some(kept.clone()), previous: Some(binary(Slot::B, "before")), ..Slots::default() };
    let mut bench = bench(Launched::Slot(Slot::B), &slots, Duration::ZERO);
    let folder = Folder::of(bench._data.path());
    std::fs::write(folder.binary(Slot::A), "spoilt").unwrap();
    std::fs::write(folder.binary(Slot::B), "before").unwrap();
    std::fs::write(folder.copy(), "of an earlier trial").unwrap();
    bench.keeper.load();
    let fault = bench.keeper.links.shown.borrow().faults().join("; ");
    assert!(fault.contains("version 1-kept in slot a is kept") && fault.contains("checksum"), "{fault}");
    assert!(bench.events.try_recv().is_ok(), "said as well");
    assert!(!folder.copy().exists());
    // What runs is what is kept now, and the spoilt one's slot is the free one.
    assert_eq!((bench.keeper.slots.kept.clone(), bench.keeper.slots.free()), (Some(binary(Slot::B, "before")), Slot::A));
    wants(&bench.view, &kept.sha256);
    bench.keeper.follow_target();
    assert!(bench.keeper.due().is_some());
    assert!(bench.keeper.links.shown.borrow().fault.is_some(), "a target does not hide it");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stays_told() {
    let mut bench = bench(Launched::Factory, &Slots::default(), Duration::ZERO);
    std::fs::write(bench._data.path().join("agent/slots"), "torn").unwrap();
    bench.keeper.load();
    wants(&bench.view, &"0".repeat(64));
    bench.keeper.follow_target();
    let fault = bench.keeper.links.shown.borrow().fault.clone();
    assert!(fault.is_some_and(|fault| fault.contains("is not known")));
}

#[tokio::test]
async fn another_order_is_carried_out_though_a_helper_has_one() {
    let mut bench = bench(Launched::Factory, &Slots::default(), Duration::ZERO);
    bench.keeper.load();
    wants(&bench.view, &"0".repeat(64));
    bench.keeper.follow_target();
    bench.keeper.handed_over = true;
    assert!(bench.keeper.due().is_none());
    wants(&bench.view, &"1".repeat(64));
    bench.keeper.follow_target();
    assert!(bench.keeper.due().is_some());
}

#[tokio::test]
async fn what_a_person_asks_for_and_cannot_have_is_told_instead_of_what_failed_before() {
    let mut bench = bench(Launched::Factory, &Slots::default(), Duration::ZERO);
    bench.keeper.load();
    bench.keeper.show(|shown| shown.error = Some("of before".into()));
    let source = crate::slot::Source::Url("http://me:pass@127.0.0.1:9/h?sig=1".into());
    bench.keeper.attempt(Job { source, sha256: None, signature: None, wish: None, offline: false }).await;
    let shown = bench.keeper.links.shown.borrow().clone();
    let error = shown.error.clone().unwrap();
    assert!(shown.doing.is_none() && error.contains("http://127.0.0.1:9/h: over http"), "{error}");
}

const AGENT: &str = "#!/bin/sh\necho 'holdfast 9.9.9 (x)'\n";

/// A keeper started from slot A, before that the kept one from slot B; and an agent to be installed by hand.
fn with_a_version_before(database: bool) -> (Bench, Folder, Job) {
    let slots = Slots {
        kept: Some(binary(Slot::B, "kept")),
        previous: Some(binary(Slot::A, "before")),
        starts: Starts { boot: "b".into(), count: 5 },
        ..Slots::default()
    };
    let mut bench = bench(Launched::Slot(Slot::A), &slots, Duration::ZERO);
    let (data, folder) = (bench._data.path().to_owned(), Folder::of(bench._data.path()));
    std::fs::write(folder.binary(Slot::A), "before").unwrap();
    std::fs::write(folder.binary(Slot::B), "kept").unwrap();
    if database {
        let place = crate::store::Place::new(&data, &data.join("database.sqlite"));
        bench.keeper.links.store = Arc::new(crate::store::SqliteStore::open_at(place).unwrap());
    }
    bench.keeper.load();
    std::fs::write(data.join("given"), AGENT).unwrap();
    let source = crate::slot::Source::File(data.join("given"));
    (bench, folder, Job { source, sha256: None, signature: None, wish: None, offline: false })
}

#[tokio::test]
async fn without_a_copy_of_the_database_the_way_back_stays() {
    let (mut bench, folder, job) = with_a_version_before(false);
    let (before, files) = (folder.load().unwrap(), || [Slot::A, Slot::B].map(|slot| std::fs::read(folder.binary(slot)).unwrap()));
    let lay_there = files();
    let Err(refused) = bench.keeper.install(job).await else { panic!("there is no database to be copied") };
    assert!(refused.message.contains("no copy of the database"), "{refused}");
    assert_eq!((folder.load().unwrap(), files()), (before, lay_there));
}

#[tokio::test]
async fn what_is_gone_back_to_is_what_works() {
    let (mut bench, folder, job) = with_a_version_before(true);
    let outcome = bench.keeper.install(job).await;
    assert!(matches!(outcome, Ok(Begun::OnTrial(_))), "{:?}", outcome.err());
    let slots = folder.load().unwrap();
    assert_eq!((slots.kept, slots.previous), (Some(binary(Slot::A, "before")), None));
    assert_eq!(slots.trial.unwrap().binary.slot, Slot::B);
    assert_eq!((std::fs::read_to_string(folder.binary(Slot::A)).unwrap(), slots.starts.count), ("before".to_owned(), 0));
}

#[tokio::test]
async fn half_of_what_nobody_wants_any_more_takes_no_room() {
    let mut bench = bench(Launched::Factory, &Slots::default(), Duration::ZERO);
    bench.keeper.load();
    let part = bench._data.path().join("agent/new");
    std::fs::write(&part, "half").unwrap();
    bench.keeper.follow_target();
    wants(&bench.view, &"0".repeat(64));
    bench.keeper.follow_target();
    assert!(part.exists(), "it is carried on");
    bench.view.send_modify(|view| *view = Arc::new(View { target: Some(Arc::default()), ..View::clone(view) }));
    bench.keeper.follow_target();
    assert!(!part.exists());
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_does_not_come_is_not_waited_for_for_ever() {
    let mut bench = bench(Launched::Factory, &Slots::default(), Duration::ZERO);
    bench.keeper.handed_over = true;
    bench.keeper.next_try = Instant::now() + HELPER_PATIENCE;
    bench.keeper.show(|shown| shown.doing = Some("a helper replaces this container".into()));
    let shown = bench.keeper.links.shown.subscribe();
    let ran = tokio::time::timeout(HELPER_PATIENCE + Duration::from_secs(1), bench.keeper.run()).await;
    assert!(ran.is_err(), "it goes on");
    let shown = shown.borrow().clone();
    assert!(shown.doing.is_none() && shown.error.as_ref().unwrap().contains("has not stopped this agent"), "{shown:?}");
}
