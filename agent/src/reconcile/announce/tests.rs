//! What is said, and how often.

use std::time::Duration;

use holdfast_plan::container::ContainerSpec;
use holdfast_plan::memory::{Rejected, Remember, Trial};
use holdfast_plan::plan::{Named, Reason, Wait};
use tokio::sync::broadcast::Receiver;
use tokio::time::advance;

use super::*;

const WALL: Option<i64> = Some(1_800_000_000_000);

fn announcer() -> (Announcer, Receiver<Event>) {
    let (events, heard) = broadcast::channel(1000);
    (Announcer::new(events), heard)
}

fn said(heard: &mut Receiver<Event>) -> Vec<(Level, String)> {
    std::iter::from_fn(|| heard.try_recv().ok()).map(|event| (event.level, event.message)).collect()
}

fn step(action: Action) -> Step {
    Step { action, app: Some("shop".into()), service: Some("till".into()), why: Reason::NotThereYet }
}

fn stop() -> Step {
    step(Action::Stop { container: Named { id: "1".into(), name: "till_1_2".into(), app_id: 5, service: "till".into() } })
}

fn fetch() -> Step {
    step(Action::Fetch { image: "registry/x:1".parse().unwrap(), app_uuid: "u".into(), service: "till".into() })
}

fn wait(reason: Reason) -> Wait {
    Wait { app: "shop".into(), service: Some("till".into()), reason }
}

fn plan(reasons: &[Reason]) -> Plan {
    Plan { waiting: reasons.iter().cloned().map(wait).collect(), ..Plan::default() }
}

fn lock() -> Reason {
    Reason::WaitingForLock { service: "till".into(), file: "updates.lock".into(), since_ms: None }
}

fn health(state: &str) -> Reason {
    Reason::WaitingForHealth { service: "till".into(), state: state.into(), deadline_boot_ms: 1 }
}

#[tokio::test(start_paused = true)]
async fn every_reason_to_wait_is_said_once_with_its_level() {
    use Level::{Info, Warning};
    let why = || "the clock is not set".to_owned();
    for (level, reason) in [
        (Warning, lock()),
        (Warning, Reason::WaitingForDownloadWindow { why: why() }),
        (Warning, Reason::WaitingForUpdateWindow { why: why() }),
        (Warning, Reason::Refused { offences: vec!["port 1:2:3:4".into()] }),
        (Warning, Reason::VolumeWouldLoseData { name: "data".into(), fields: vec!["driver".into()] }),
        (Info, Reason::KeptForGrace { until_ms: None }),
        (Warning, Reason::WatchOnly { why: why() }),
        (Info, Reason::WaitingForHandOver { deadline_boot_ms: 5 }),
        (Info, health("unhealthy")),
        (Warning, Reason::WaitingForReboot),
        (Warning, Reason::ContractUnmet { services: vec!["till requires sw.l4t".into()] }),
        (Warning, Reason::LeftOut { unmet: "sw.l4t".into() }),
        (Warning, Reason::Rejected { commit: "b".into(), why: why(), restored: "a".into() }),
    ] {
        let (mut announcer, mut heard) = announcer();
        for _ in 0..5 {
            announcer.waits(&plan(std::slice::from_ref(&reason)), WALL);
            advance(Duration::from_secs(600)).await;
        }
        assert_eq!(said(&mut heard), [(level, reason.to_string())]);
        assert_eq!(announcer.next_due(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_and_times_do_not_make_a_wait_new() {
    let (mut announcer, mut heard) = announcer();
    for n in 0..5 {
        let lock = Reason::WaitingForLock { service: "till".into(), file: "updates.lock".into(), since_ms: Some(n) };
        let hand_over = Reason::WaitingForHandOver { deadline_boot_ms: n };
        let kept = Reason::KeptForGrace { until_ms: Some(n) };
        announcer.waits(&plan(&[lock, hand_over, kept]), WALL);
    }
    assert_eq!(said(&mut heard).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_state_is_said_and_one_that_flickers_is_not_said_each_time() {
    let (mut announcer, mut heard) = announcer();
    announcer.waits(&plan(&[health("not yet healthy")]), WALL);
    announcer.waits(&plan(&[health("unhealthy")]), WALL);
    assert_eq!(said(&mut heard).len(), 2);
    for _ in 0..120 {
        advance(Duration::from_millis(500)).await;
        announcer.waits(&plan(&[lock()]), WALL);
        advance(Duration::from_millis(500)).await;
        announcer.waits(&plan(&[]), WALL);
    }
    assert_eq!(said(&mut heard).len(), 2, "once a minute");
    announcer.new_target();
    announcer.waits(&plan(&[lock()]), WALL);
    assert_eq!(said(&mut heard).len(), 1, "it is another update");
}

#[tokio::test(start_paused = true)]
async fn ordinary_waits_are_said_when_they_last() {
    let dependency = Reason::WaitingForDependency { service: "db".into(), condition: "healthy".into() };
    let (mut announcer, mut heard) = announcer();
    announcer
        .waits(&plan(&[dependency.clone(), Reason::WaitingForImages { missing: vec!["a".into(), "b".into()].into() }]), WALL);
    assert_eq!(announcer.next_due(), Some(Instant::now() + Duration::from_secs(60)));
    advance(Duration::from_secs(59)).await;
    announcer.waits(&plan(&[dependency.clone(), Reason::WaitingForImages { missing: vec!["b".into()].into() }]), WALL);
    assert_eq!(said(&mut heard), []);
    advance(Duration::from_secs(1)).await;
    for missing in ["b", "c"] {
        announcer.waits(&plan(&[dependency.clone(), Reason::WaitingForImages { missing: vec![missing.into()].into() }]), WALL);
    }
    let texts = said(&mut heard);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.contains(&(Level::Warning, "waiting for db to be healthy".into())), "{texts:?}");
    assert!(texts.contains(&(Level::Info, "waiting for b to be downloaded".into())), "{texts:?}");
    announcer.waits(&plan(&[]), WALL);
    advance(Duration::from_secs(3600)).await;
    announcer.waits(&plan(&[Reason::WaitingForOldContainer]), WALL);
    announcer.waits(&plan(&[]), WALL);
    assert_eq!((said(&mut heard), announcer.next_due()), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn a_step_is_said_from_its_beginning_to_its_end() {
    let (mut announcer, mut heard) = announcer();
    announcer.begins(&fetch(), WALL);
    announcer.done(&fetch(), WALL);
    announcer.given_up(&fetch(), WALL);
    let spec = || Box::new(ContainerSpec { name: "till_1_2".into(), ..ContainerSpec::default() });
    announcer.done(&step(Action::Create { spec: spec(), start: true }), WALL);
    announcer.done(&step(Action::Create { spec: spec(), start: false }), WALL);
    let texts: Vec<String> = said(&mut heard).into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        texts,
        [
            "Downloading image 'registry/x:1' (the target asks for it and it is not there)",
            "Downloaded image 'registry/x:1'",
            "Downloading image 'registry/x:1': given up, it is not wanted any more",
            "Started service 'till_1_2'",
            "Installed service 'till_1_2'",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_repeats_is_said_more_and_more_rarely() {
    let (mut announcer, mut heard) = announcer();
    for n in 1..=100 {
        announcer.begins(&fetch(), WALL);
        announcer.failed(&fetch(), &format!("dial tcp 10.0.0.{n}:{}: timeout", 40_000 + n), 1_000 * n, WALL);
        advance(Duration::from_secs(900)).await;
    }
    let texts = said(&mut heard);
    // The beginning, and the failures 1, 2, 4, … 64.
    assert_eq!(texts.len(), 8, "{texts:#?}");
    let first = "Failed to download image 'registry/x:1' due to 'dial tcp 10.0.0.1:40001: timeout'; tried again in 1.0 s";
    assert_eq!(texts[1], (Level::Error, first.into()));
    assert!(texts[7].1.ends_with("tried again in 64.0 s (failed 64 times now)"), "{}", texts[7].1);
    announcer.failed(&fetch(), "no space left on device", 1_000, WALL);
    assert_eq!(said(&mut heard).len(), 1, "another error is news");
    announcer.failed(&stop(), "no space left on device", 1_000, WALL);
    assert_eq!(said(&mut heard).len(), 1, "another step too");
    announcer.done(&fetch(), WALL);
    announcer.begins(&fetch(), WALL);
    announcer.failed(&fetch(), "dial tcp 10.0.0.1:40001: timeout", 1_000, WALL);
    assert_eq!(said(&mut heard).len(), 3, "after a success it begins anew");
    announcer.new_target();
    announcer.begins(&fetch(), WALL);
    assert_eq!(said(&mut heard).len(), 1, "and after a new target");
}

#[tokio::test(start_paused = true)]
async fn errors_without_end_are_not_all_remembered() {
    let (mut announcer, mut heard) = announcer();
    for n in 1..=200 {
        let error: String = std::iter::repeat_n('x', n).collect();
        announcer.failed(&stop(), &error, 1_000, WALL);
    }
    assert_eq!(said(&mut heard).len(), 8 + 8, "eight kinds, and the rest as one: 1, 2, 4, … 128");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_was_quicker_is_a_warning() {
    let (mut announcer, mut heard) = announcer();
    let take = step(Action::TakeLock { app_id: 7, services: ["till".to_owned()].into(), force: None });
    for _ in 0..3 {
        announcer.begins(&take, WALL);
        announcer.failed(&take, "Lockfile exists for { appId: 7, service: till }", 1_000, WALL);
    }
    let levels: Vec<Level> = said(&mut heard).into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, [Level::Info, Level::Warning, Level::Warning]);
}

#[tokio::test(start_paused = true)]
async fn the_turns_of_a_trial_are_said_when_they_are_remembered() {
    let (announcer, mut heard) = announcer();
    let remember = |change, why| Step { why, ..step(Action::Remember { change }) };
    let (app_uuid, commit, why) = (String::from("u"), String::from("b"), String::from("till was unhealthy after 60 s"));
    let trial = Trial { commit: commit.clone(), starts: 1, since_boot_ms: None };
    let rejected = Rejected { commit: commit.clone(), why: why.clone() };
    announcer.remembered(&remember(Remember::BeginTrial { app_uuid: app_uuid.clone(), trial }, Reason::TrialBegins), WALL);
    let failed = Reason::TrialFailed { commit, why };
    announcer.remembered(&remember(Remember::Reject { app_uuid: app_uuid.clone(), rejected }, failed), WALL);
    announcer.remembered(&remember(Remember::ForgetRejected { app_uuid }, Reason::TargetMovedOn), WALL);
    announcer.remembered(&fetch(), WALL);
    let expected = [
        (Level::Info, "the new release begins its trial".to_owned()),
        (Level::Error, "release b failed its trial: till was unhealthy after 60 s".to_owned()),
    ];
    assert_eq!(said(&mut heard), expected);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_said_when_it_begins_changes_and_ends() {
    let (mut announcer, mut heard) = announcer();
    announcer.fault("database", None, WALL);
    for text in ["disk full after 10 bytes", "disk full after 20 bytes", "disk I/O error"] {
        announcer.fault("database", Some(text), WALL);
    }
    announcer.fault("update locks", None, WALL);
    announcer.fault("database", None, WALL);
    announcer.fault("database", None, WALL);
    let expected = [
        (Level::Error, "disk full after 10 bytes".to_owned()),
        (Level::Error, "disk I/O error".to_owned()),
        (Level::Info, "database: all is well again".to_owned()),
    ];
    assert_eq!(said(&mut heard), expected);
}
