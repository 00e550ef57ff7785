//! Being told of changes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::super::{LockChanges, LockRoot};
use super::{Place, services};

/// Longer than the least time between two signals.
const SETTLE: Duration = Duration::from_millis(350);

/// Whether a signal comes soon.
async fn fires(changes: &mut LockChanges) -> bool {
    timeout(Duration::from_millis(1500), changes.next()).await.is_ok()
}

/// Takes what is on its way, then sees that nothing more comes.
async fn is_quiet(changes: &mut LockChanges) -> bool {
    while timeout(SETTLE, changes.next()).await.is_ok() {}
    timeout(SETTLE, changes.next()).await.is_err()
}

#[tokio::test]
async fn a_lock_that_comes_or_goes_is_told_at_once() {
    let place = Place::new();
    let lock = place.service("main").join("updates.lock");
    let mut changes = place.root.changes();
    assert!(is_quiet(&mut changes).await, "nothing happened");
    let begin = Instant::now();
    fs::write(&lock, "").unwrap();
    assert!(fires(&mut changes).await);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(is_quiet(&mut changes).await);
    fs::remove_file(&lock).unwrap();
    assert!(fires(&mut changes).await);
    assert!(is_quiet(&mut changes).await);
    for name in ["resin-updates.lock", "handover-complete", "resin-kill-me"] {
        fs::create_dir(lock.with_file_name(name)).unwrap();
        assert!(fires(&mut changes).await, "{name}");
        assert!(is_quiet(&mut changes).await);
    }
}

#[tokio::test]
async fn what_happens_before_the_first_poll_is_not_missed() {
    let place = Place::new();
    let lock = place.service("main").join("updates.lock");
    let mut changes = place.root.changes();
    fs::write(&lock, "").unwrap();
    assert!(fires(&mut changes).await);
}

#[tokio::test]
async fn other_files_of_the_application_do_not_count() {
    let place = Place::new();
    let folder = place.service("main");
    let mut changes = place.root.changes();
    assert!(is_quiet(&mut changes).await);
    fs::write(folder.join("socket"), "").unwrap();
    fs::write(folder.join("updates.lock.tmp"), "").unwrap();
    fs::create_dir(place.root.path().join("not-an-app")).unwrap();
    assert!(timeout(SETTLE, changes.next()).await.is_err());
}

#[tokio::test]
async fn folders_that_appear_are_watched_and_so_is_a_lock_root_that_comes_late() {
    let place = Place::new();
    let mut changes = place.root.changes();
    assert!(is_quiet(&mut changes).await);
    for service in ["main", "web"] {
        // Folder and lock at once: the lock may be there before the watch is.
        fs::write(place.service(service).join("updates.lock"), "").unwrap();
        assert!(fires(&mut changes).await, "{service}");
        assert!(is_quiet(&mut changes).await);
        fs::remove_file(place.service(service).join("updates.lock")).unwrap();
        assert!(fires(&mut changes).await, "{service}");
        assert!(is_quiet(&mut changes).await);
    }
    let other = place.root.path().join("2/main");
    fs::create_dir_all(&other).unwrap();
    assert!(fires(&mut changes).await);
    assert!(is_quiet(&mut changes).await);
    fs::write(other.join("updates.lock"), "").unwrap();
    assert!(fires(&mut changes).await);
}

#[tokio::test]
async fn a_lock_root_that_is_removed_or_moved_and_made_anew_is_found_again() {
    let place = Place::new();
    place.service("main");
    let mut changes = place.root.changes();
    let supervisor = place.root.path().parent().unwrap().to_owned();
    for round in 0..3 {
        match round {
            0 => fs::remove_dir_all(place.root.path()).unwrap(),
            1 => fs::remove_dir_all(&supervisor).unwrap(),
            _ => fs::rename(&supervisor, supervisor.with_extension("old")).unwrap(),
        }
        assert!(fires(&mut changes).await, "its going, round {round}");
        assert!(is_quiet(&mut changes).await);
        let lock = place.service("main").join("updates.lock");
        assert!(fires(&mut changes).await, "its coming, round {round}");
        assert!(is_quiet(&mut changes).await);
        fs::write(lock, "").unwrap();
        assert!(fires(&mut changes).await, "a lock in it, round {round}");
        assert!(is_quiet(&mut changes).await);
    }
}

#[tokio::test]
async fn a_busy_folder_gives_at_most_ten_signals_a_second() {
    let place = Place::new();
    let lock = place.service("main").join("updates.lock");
    let mut changes = place.root.changes();
    let end = Instant::now() + Duration::from_secs(1);
    let mut signals = 0;
    let busy = tokio::spawn(async move {
        while Instant::now() < end {
            fs::write(&lock, "").unwrap();
            fs::remove_file(&lock).unwrap();
            tokio::task::yield_now().await;
        }
    });
    while timeout(SETTLE, changes.next()).await.is_ok() {
        signals += 1;
    }
    busy.await.unwrap();
    assert!((2..=12).contains(&signals), "{signals}");
}

#[tokio::test]
async fn more_events_than_the_kernel_keeps_are_a_signal_not_a_loss() {
    let place = Place::new();
    let folder = place.service("main");
    let mut changes = place.root.changes();
    assert!(is_quiet(&mut changes).await);
    // More than the queue holds, none of them about a lock; then a lock and a folder whose events are dropped.
    for number in 0..10_000 {
        let file = folder.join(number.to_string());
        fs::write(&file, "").unwrap();
        fs::remove_file(&file).unwrap();
    }
    fs::write(folder.join("updates.lock"), "").unwrap();
    fs::write(place.service("late").join("updates.lock"), "").unwrap();
    assert!(fires(&mut changes).await);
    assert!(is_quiet(&mut changes).await);
    fs::remove_file(place.service("late").join("updates.lock")).unwrap();
    assert!(fires(&mut changes).await, "the new folder is watched");
}

#[tokio::test]
async fn taking_by_the_agent_settles_too() {
    let place = Place::new();
    let mut changes = place.root.changes();
    place.root.take(1, &services(&["main"]), false).unwrap();
    assert!(fires(&mut changes).await);
    assert!(is_quiet(&mut changes).await);
    let before = place.root.fingerprint();
    assert_eq!(place.root.fingerprint(), before, "the same tree, the same number");
    place.root.release(1, &services(&["main"])).unwrap();
    assert_ne!(place.root.fingerprint(), before);
    assert!(fires(&mut changes).await);
    assert!(is_quiet(&mut changes).await);
}

#[test]
fn a_stream_can_be_made_without_a_runtime() {
    let root = Arc::new(LockRoot::new("/nonexistent/services".into()));
    drop(root.changes());
}
