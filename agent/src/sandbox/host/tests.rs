//! The host in memory: locks, markers, notices, lost replies.

use holdfast_plan::current::LockHolder;

use super::*;
use crate::clock::SystemClock;
use crate::sandbox::faults::Rule;

fn host() -> SimHost {
    SimHost::new(Rng::with_seed(1), Arc::new(SystemClock))
}

fn services(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn locks_are_taken_all_or_none() {
    let host = host();
    assert!(host.hold(1, "b"));
    let both = services(&["a", "b"]);
    let held = host.take_locks(1, &both, false).await;
    assert_eq!(held, Err(HostError::LockHeld { app_id: 1, service: "b".into() }));
    assert_eq!(host.locks().await.unwrap().holder(1, "a"), None);
    host.let_go(1, "b");
    assert_eq!(host.take_locks(1, &both, false).await, Ok(Vec::new()));
    assert!(host.locks().await.unwrap().all_ours(1, ["a", "b"]));
    assert!(!host.hold(1, "a"), "the agent's lock keeps the application's out");
    host.release_locks(1, &both).await.unwrap();
    assert_eq!(host.snapshot(), Locks::default());
}

#[tokio::test(start_paused = true)]
async fn force_breaks_and_leftovers_are_taken_over() {
    let host = host();
    host.hold(1, "a");
    host.leave_half(1, "b");
    assert_eq!(host.snapshot().holder(1, "b"), Some(&LockHolder::Agent { complete: false }));
    let broken = host.take_locks(1, &services(&["a", "b"]), true).await.unwrap();
    assert_eq!(broken, [BrokenLock { service: "a".into(), file: "updates.lock".into() }]);
    assert!(host.snapshot().all_ours(1, ["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn a_marker_is_seen_and_cleared() {
    let host = host();
    host.mark_handed_over(1, "a");
    assert!(host.locks().await.unwrap().marker(1, "a"));
    host.clear_marker(1, "a").await.unwrap();
    host.clear_marker(1, "a").await.unwrap();
    assert_eq!(host.snapshot(), Locks::default());
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_but_not_too_often() {
    let host = host();
    let mut changes = host.lock_changes();
    host.hold(1, "a");
    let started = tokio::time::Instant::now();
    assert_eq!(changes.next().await, Some(()));
    host.let_go(1, "a");
    host.hold(1, "a");
    assert_eq!(changes.next().await, Some(()));
    assert!(started.elapsed() >= QUIET);
    assert!(tokio::time::timeout(Duration::from_secs(5), changes.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_has_taken_effect() {
    let host = host();
    host.faults(|f| f.add(Rule::once("take_locks", Fault::LostReply)));
    assert!(host.take_locks(1, &services(&["a"]), false).await.is_err());
    assert!(host.snapshot().all_ours(1, ["a"]));
}
