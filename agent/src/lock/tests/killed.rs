//! A kill at any moment leaves nothing that could be taken for the application's lock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_plan::current::LockHolder;

use super::super::draft::Draft;
use super::super::folder::Folder;
use super::{HALF_OURS, LockRoot, OURS, Place, services};

/// Where the child of [`killed_at_any_moment`] works.
const CHILD_ROOT: &str = "HOLDFAST_TEST_LOCK_ROOT";

/// The states that a kill between two steps of taking leaves, in order.
fn leave(place: &Place, step: usize) {
    let folder = place.service("main");
    let root = Folder::root(place.root.path()).unwrap().unwrap();
    let draft = |content: &str| {
        let path = place.root.path().join(".holdfast-1-0");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let finished = || Draft::write(&root).unwrap();
    let service = root.service(1, "main").unwrap().unwrap();
    match step {
        0 => draft(""),
        1 => draft("holdfast upd"),
        2 => std::mem::forget(finished()),
        3 => {
            // Linked, and killed before the draft's own name was removed.
            let path = place.root.path().join(".holdfast-1-0");
            finished().publish(&service, "updates.lock").unwrap();
            fs::hard_link(folder.join("updates.lock"), path).unwrap();
        }
        4 => finished().publish(&service, "updates.lock").unwrap(),
        5 => finished().publish(&service, "resin-updates.lock").unwrap(),
        _ => {
            finished().publish(&service, "updates.lock").unwrap();
            finished().publish(&service, "resin-updates.lock").unwrap();
        }
    }
}

#[test]
fn killed_between_any_two_steps() {
    for (step, expected) in [None, None, None, HALF_OURS, HALF_OURS, HALF_OURS, OURS].into_iter().enumerate() {
        let place = Place::new();
        leave(&place, step);
        assert_eq!(place.holder("main"), expected, "step {step}");
        leave_again_and_take(step);
    }
}

fn leave_again_and_take(step: usize) {
    let place = Place::new();
    leave(&place, step);
    place.root.take(1, &services(&["main", "web"]), false).unwrap_or_else(|error| panic!("step {step}: {error}"));
    assert_eq!(place.holder("main"), OURS, "step {step}");
    place.root.release(1, &services(&["main", "web"])).unwrap();
    assert_eq!(place.everything(), ["1", "1/main", "1/web"], "step {step}: nothing is left");
}

#[test]
fn a_draft_is_finished_before_it_gets_a_name() {
    let place = Place::new();
    place.service("main");
    let root = Folder::root(place.root.path()).unwrap().unwrap();
    let _draft = Draft::write(&root).unwrap();
    let draft = place.everything().into_iter().find(|path| path.starts_with(".holdfast-")).unwrap();
    let text = fs::read_to_string(place.root.path().join(draft)).unwrap();
    assert!(text.starts_with(super::super::holder::TAG), "{text}");
    assert!(!place.everything().iter().any(|path| path.ends_with(".lock")));
}

/// What the process that is killed does.
fn take_and_release_for_ever(path: PathBuf) -> ! {
    let root = LockRoot::new(path);
    loop {
        root.take(1, &services(&["main", "web"]), false).unwrap();
        root.release(1, &services(&["main", "web"])).unwrap();
    }
}

/// A real process, killed for good at random moments: what it leaves is ours, and the next one goes on from there. The process
/// is this test once more, told by a variable where to work.
#[test]
fn killed_at_any_moment() {
    if let Some(path) = std::env::var_os(CHILD_ROOT) {
        take_and_release_for_ever(path.into());
    }
    let place = Place::new();
    let mut seen = [0; 3];
    for round in 0..60 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::tests::killed::killed_at_any_moment", "--nocapture"])
            .env(CHILD_ROOT, place.root.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !place.root.path().join("1/web").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the child ended by itself in round {round}");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let locks = place.root.observe().unwrap();
        for service in ["main", "web"] {
            match locks.holder(1, service) {
                None => seen[0] += 1,
                Some(LockHolder::Agent { complete: false }) => seen[1] += 1,
                Some(LockHolder::Agent { complete: true }) => seen[2] += 1,
                Some(application) => panic!("round {round}: {service} looks like {application:?}"),
            }
        }
        place.root.take(1, &services(&["main", "web"]), false).unwrap();
        place.root.release(1, &services(&["main", "web"])).unwrap();
        assert_eq!(place.everything(), ["1", "1/main", "1/web"], "round {round}");
        // The next child shows that it is at work by making it anew.
        fs::remove_dir_all(place.root.path()).unwrap();
    }
    assert!(seen[0] > 0 && seen[1] + seen[2] > 0, "kills hit different moments: {seen:?}");
}
