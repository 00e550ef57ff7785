//! Taking and giving back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{HALF_OURS, LockError, OURS, Place, held, is_application, services};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn both_files_are_taken_and_given_back_and_the_folder_stays() {
    let place = Place::new();
    let folder = place.service("main");
    let inode = fs::metadata(&folder).unwrap().ino();
    assert_eq!(place.root.take(1, &services(&["main", "web"]), false).unwrap(), vec![]);
    assert_eq!(
        place.everything(),
        [
            "1",
            "1/main",
            "1/main/resin-updates.lock",
            "1/main/updates.lock",
            "1/web",
            "1/web/resin-updates.lock",
            "1/web/updates.lock"
        ]
    );
    assert!(place.root.observe().unwrap().all_ours(1, ["main", "web"]));
    place.root.release(1, &services(&["main", "web", "unknown"])).unwrap();
    assert_eq!(place.everything(), ["1", "1/main", "1/web"]);
    assert_eq!(fs::metadata(&folder).unwrap().ino(), inode);
    assert_eq!(place.holder("main"), None);
}

#[test]
fn containers_of_any_user_can_make_files_beside_the_lock_and_read_it() {
    let place = Place::new();
    let folder = place.service("main");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    place.root.take(1, &services(&["main", "new"]), false).unwrap();
    for service in ["main", "new"] {
        assert_eq!(mode(&place.root.path().join("1").join(service)), 0o1777, "{service}");
    }
    assert_eq!(mode(&place.root.path().join("1")), 0o755);
    let lock = folder.join("updates.lock");
    assert_eq!(mode(&lock), 0o644);
    let text = fs::read_to_string(&lock).unwrap();
    assert!(text.starts_with("holdfast update lock\n") && text.contains(&format!("pid {}", std::process::id())), "{text}");
    let metadata = fs::metadata(&lock).unwrap();
    if fs::metadata(place.dir.path()).unwrap().uid() == 0 {
        assert_eq!(metadata.uid(), 65534);
    }
    assert_eq!(metadata.nlink(), 1, "the draft is gone");
}

#[test]
fn the_application_cannot_take_a_lock_of_ours_and_takes_it_once_it_is_given_back() {
    let place = Place::new();
    let lock = place.service("main").join("updates.lock");
    place.root.take(1, &services(&["main"]), false).unwrap();
    assert_eq!(fs::File::create_new(&lock).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    place.root.release(1, &services(&["main"])).unwrap();
    fs::File::create_new(&lock).unwrap();
    assert!(is_application(place.holder("main"), "updates.lock"));
}

#[test]
fn one_held_lock_of_either_name_and_any_kind_holds_the_whole_set() {
    for name in ["updates.lock", "resin-updates.lock"] {
        for kind in ["file", "folder", "link", "dangling link"] {
            let place = Place::new();
            let lock = place.service("web").join(name);
            match kind {
                "file" => fs::write(&lock, "").unwrap(),
                "folder" => fs::create_dir(&lock).unwrap(),
                "link" => symlink("/dev/null", &lock).unwrap(),
                _ => symlink("nowhere", &lock).unwrap(),
            }
            let before = place.everything();
            assert_eq!(place.root.take(1, &services(&["main", "web", "zzz"]), false), Err(held("web")), "{name} {kind}");
            assert_eq!(place.everything(), before, "nothing is made while it waits: {name} {kind}");
            assert!(is_application(place.holder("web"), name), "{name} {kind}");
            place.root.release(1, &services(&["main", "web"])).unwrap();
            assert!(is_application(place.holder("web"), name), "a release leaves it: {name} {kind}");
        }
    }
}

#[test]
fn a_lock_that_appears_half_way_undoes_what_was_taken_but_not_what_was_ours_before() {
    let place = Place::new();
    place.root.take(1, &services(&["aaa"]), false).unwrap();
    for name in ["main", "web"] {
        place.service(name);
    }
    // What the check at the start cannot see: the lock comes while the others are taken.
    fs::write(place.root.path().join("1/zzz"), "in the way").unwrap();
    let error = place.root.take(1, &services(&["aaa", "main", "web", "zzz"]), false).unwrap_err();
    assert!(matches!(&error, LockError::File { path, .. } if path.ends_with("1/zzz")), "{error}");
    let left: Vec<String> = place.everything().into_iter().filter(|path| path.ends_with(".lock")).collect();
    assert_eq!(left, ["1/aaa/resin-updates.lock", "1/aaa/updates.lock"]);
    assert_eq!(place.holder("aaa"), OURS);
}

#[test]
fn locks_left_by_an_earlier_run_are_taken_over_and_completed() {
    let place = Place::new();
    let folder = place.service("main");
    place.root.take(1, &services(&["main"]), false).unwrap();
    let inode = fs::metadata(folder.join("updates.lock")).unwrap().ino();
    fs::remove_file(folder.join("resin-updates.lock")).unwrap();
    let later = super::LockRoot::new(place.root.path().to_owned());
    assert_eq!(later.observe().unwrap().holder(1, "main").cloned(), HALF_OURS);
    later.take(1, &services(&["main"]), false).unwrap();
    assert_eq!(place.holder("main"), OURS);
    assert_eq!(fs::metadata(folder.join("updates.lock")).unwrap().ino(), inode, "kept, never free in between");
}

#[test]
fn a_service_whose_name_leads_elsewhere_is_refused() {
    let place = Place::new();
    for name in ["../1/main", "..", "a/b", ""] {
        let error = place.root.take(1, &services(&[name]), true).unwrap_err();
        assert!(error.to_string().contains("no folder can be named after"), "{error}");
        place.root.release(1, &services(&[name])).unwrap();
    }
    assert!(!place.root.path().exists());
}

#[test]
fn a_link_in_a_folders_place_is_not_followed() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    place.service("other");
    symlink(&outside, place.root.path().join("1/main")).unwrap();
    let error = place.root.take(1, &services(&["main"]), true).unwrap_err();
    assert!(matches!(error, LockError::File { .. }), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o1000, 0);
}

/// The agent and an application contend for the same lock: never do both have it, and who comes second leaves nothing.
#[test]
fn one_of_two_contenders_gets_the_lock() {
    contend("updates.lock", "resin-updates.lock");
    contend("resin-updates.lock", "updates.lock");
}

/// Both sides must get their turn on a busy machine too.
fn pause() {
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..300)));
}

struct EndsOnDrop<'a>(&'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn contend(name: &str, other: &str) {
    let place = Place::new();
    let lock = place.service("main").join(name);
    let other = lock.with_file_name(other);
    let app_has_it = AtomicBool::new(false);
    let start = Barrier::new(2);
    let done = AtomicBool::new(false);
    let (mut ours, mut theirs) = (0, 0);
    std::thread::scope(|scope| {
        let app = scope.spawn(|| {
            start.wait();
            let mut got = 0;
            while !done.load(Ordering::SeqCst) {
                if fs::File::create_new(&lock).is_ok() {
                    app_has_it.store(true, Ordering::SeqCst);
                    got += 1;
                    pause();
                    app_has_it.store(false, Ordering::SeqCst);
                    fs::remove_file(&lock).expect("nobody else removes the application's lock");
                    pause();
                }
            }
            got
        });
        start.wait();
        // Also when an assertion below fails, or the scope would wait for ever.
        let end = EndsOnDrop(&done);
        let begin = Instant::now();
        for round in 0.. {
            match place.root.take(1, &services(&["main"]), false) {
                Ok(_) => {
                    assert!(!app_has_it.load(Ordering::SeqCst), "both have it");
                    ours += 1;
                    place.root.release(1, &services(&["main"])).unwrap();
                }
                Err(error) => {
                    assert_eq!(error, held("main"));
                    assert!(!other.exists(), "half a lock is left");
                }
            }
            if (ours >= 50 && round >= 150) || begin.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        drop(end);
        theirs = app.join().unwrap();
    });
    assert!(ours >= 50 && theirs > 0, "{ours} {theirs}");
    assert_eq!(place.everything(), ["1", "1/main"]);
}
