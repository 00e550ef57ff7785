//! Breaking the application's locks on request.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::Broken;
use super::{OURS, Place, services};

fn broken(service: &str, file: &str) -> Broken {
    Broken { service: service.to_owned(), file: file.to_owned() }
}

#[test]
fn locks_of_every_kind_are_broken_and_named() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "kept").unwrap();
    fs::write(place.service("a").join("updates.lock"), "pid 7").unwrap();
    fs::create_dir(place.service("b").join("resin-updates.lock")).unwrap();
    symlink(&outside, place.service("c").join("updates.lock")).unwrap();
    let deep = place.service("d").join("updates.lock/x/y");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    symlink(&outside, deep.join("link")).unwrap();
    fs::write(place.service("d").join("updates.lock-not"), "the application's own").unwrap();
    place.service("e");
    let found = place.root.take(1, &services(&["a", "b", "c", "d", "e"]), true).unwrap();
    assert_eq!(
        found,
        [
            broken("a", "updates.lock"),
            broken("b", "resin-updates.lock"),
            broken("c", "updates.lock"),
            broken("d", "updates.lock")
        ]
    );
    for service in ["a", "b", "c", "d", "e"] {
        assert_eq!(place.holder(service), OURS, "{service}");
    }
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "kept");
    assert!(place.everything().iter().all(|path| !path.contains("holdfast-")), "{:?}", place.everything());
    assert!(place.root.path().join("1/d/updates.lock-not").exists());
}

#[test]
fn a_huge_folder_is_moved_away_at_once_and_cleared_over_time() {
    let place = Place::new();
    let lock = place.service("main").join("updates.lock");
    fs::create_dir(&lock).unwrap();
    let files = super::super::folder::MAX_ENTRIES + 50;
    for number in 0..files {
        fs::write(lock.join(number.to_string()), "").unwrap();
    }
    place.root.take(1, &services(&["main"]), true).unwrap();
    assert_eq!(place.holder("main"), OURS);
    place.root.observe().unwrap();
    assert!(place.everything().iter().all(|path| !path.contains("holdfast-")), "swept by later looks");
}

#[test]
fn force_breaks_nothing_when_nothing_is_held_and_leaves_our_own() {
    let place = Place::new();
    assert_eq!(place.root.take(1, &services(&["main"]), true).unwrap(), vec![]);
    assert_eq!(place.root.take(1, &services(&["main"]), true).unwrap(), vec![]);
    assert_eq!(place.holder("main"), OURS);
}

#[test]
fn only_the_named_services_are_forced() {
    let place = Place::new();
    fs::write(place.service("other").join("updates.lock"), "").unwrap();
    place.root.take(1, &services(&["main"]), true).unwrap();
    assert!(super::is_application(place.holder("other"), "updates.lock"));
}
