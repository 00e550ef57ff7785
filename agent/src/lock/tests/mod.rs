//! What update locks promise.

mod breaking;
mod killed;
mod taking;
mod watching;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_plan::current::LockHolder;
use tempfile::TempDir;

use super::{LOCK_FILES, LockError, LockRoot, app_of, is_service_name};

/// A lock root in a folder of its own; not there at first.
struct Place {
    dir: TempDir,
    root: Arc<LockRoot>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(LockRoot::new(dir.path().join("tmp/balena-supervisor/services")));
        Self { dir, root }
    }

    /// The folder of a service of app 1, made as the engine makes a missing mount source.
    fn service(&self, service: &str) -> PathBuf {
        let folder = self.root.path().join("1").join(service);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn holder(&self, service: &str) -> Option<LockHolder> {
        self.root.observe().unwrap().holder(1, service).cloned()
    }

    /// Everything in the lock root, as paths.
    fn everything(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.root.path(), self.root.path(), &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.symlink_metadata().unwrap().is_dir() {
            list(root, &path, found);
        }
    }
}

fn services(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn held(service: &str) -> LockError {
    LockError::Held { app_id: 1, service: service.to_owned() }
}

fn is_application(holder: Option<LockHolder>, name: &str) -> bool {
    matches!(holder, Some(LockHolder::Application { file, since_ms: Some(_) }) if file == name)
}

const OURS: Option<LockHolder> = Some(LockHolder::Agent { complete: true });
const HALF_OURS: Option<LockHolder> = Some(LockHolder::Agent { complete: false });

#[test]
fn names_that_leave_the_folder_are_no_service() {
    for name in ["", ".", "..", ".hidden", "a/b", "../x", "/x", "a\0b"] {
        assert!(!is_service_name(name), "{name:?}");
    }
    assert!(!is_service_name(&"x".repeat(256)));
    assert!(is_service_name("main") && is_service_name("a.b-c_d") && is_service_name(&"x".repeat(255)));
}

#[test]
fn only_plain_numbers_are_apps() {
    assert_eq!(app_of("1234"), Some(1234));
    for name in ["", "+1", "007", "-1", "1a", ".holdfast-1-1", "99999999999999999999999"] {
        assert_eq!(app_of(name), None, "{name:?}");
    }
}

#[test]
fn a_missing_lock_root_is_no_locks_and_is_not_made_by_looking() {
    let place = Place::new();
    assert_eq!(place.root.observe().unwrap(), Default::default());
    place.root.release(1, &services(&["main"])).unwrap();
    assert!(!place.root.path().exists());
    assert_eq!(std::fs::read_dir(place.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_root_that_is_no_folder_is_an_error_that_names_it() {
    let place = Place::new();
    std::fs::create_dir_all(place.root.path().parent().unwrap()).unwrap();
    std::fs::write(place.root.path(), "").unwrap();
    for error in [place.root.observe().unwrap_err(), place.root.take(1, &services(&["main"]), true).unwrap_err()] {
        assert!(error.to_string().contains("balena-supervisor/services: could not open the lock root"), "{error}");
    }
}

#[test]
fn the_message_of_a_held_lock_is_balenas() {
    assert_eq!(held("main").to_string(), "Lockfile exists for { appId: 1, service: main }");
}

#[test]
fn links_and_strange_names_are_not_followed_when_looking() {
    let place = Place::new();
    let outside = place.dir.path().join("outside/main");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("updates.lock"), "").unwrap();
    place.service("real");
    std::os::unix::fs::symlink(place.dir.path().join("outside"), place.root.path().join("2")).unwrap();
    std::os::unix::fs::symlink(&outside, place.root.path().join("1/linked")).unwrap();
    let strange = place.root.path().join("not-a-number/main");
    std::fs::create_dir_all(&strange).unwrap();
    std::fs::write(strange.join("updates.lock"), "").unwrap();
    std::fs::write(place.root.path().join("3"), "a file").unwrap();
    assert_eq!(place.root.observe().unwrap(), Default::default());
}

#[test]
fn an_absurd_tree_is_looked_at_in_part_and_a_lock_in_the_rest_still_holds() {
    let place = Place::new();
    let app = place.root.path().join("1");
    for number in 0..super::folder::MAX_ENTRIES + 200 {
        std::fs::create_dir_all(app.join(format!("s{number:05}"))).unwrap();
    }
    for number in 0..super::folder::MAX_ENTRIES + 200 {
        std::fs::write(app.join(format!("s{number:05}/updates.lock")), "").unwrap();
    }
    let seen = place.root.observe().unwrap().held[&1].len();
    assert!(seen > 0 && seen <= super::folder::MAX_ENTRIES, "{seen}");
    for number in [0, 2000, super::folder::MAX_ENTRIES + 199] {
        let name = format!("s{number:05}");
        assert_eq!(place.root.take(1, &services(&[&name]), false), Err(held(&name)));
    }
}

#[test]
fn a_lock_has_both_names() {
    assert_eq!(LOCK_FILES, ["updates.lock", "resin-updates.lock"]);
}
