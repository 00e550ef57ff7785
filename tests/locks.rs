//! Update locks: a promise to the application, and what may break it.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{App, Cloud, Device, check, device_target, numbered_release as release, simulated_and_settled, wait_for};

/// A device on its first release that wants the second, and a lock of one of its services in the way.
fn blocked(service: &str, file: &str) -> (Cloud, Device, App, PathBuf) {
    let (cloud, device, app) = simulated_and_settled();

    let folder = device.lock_dir(&app, service);
    std::fs::create_dir_all(&folder).unwrap();
    let lock = folder.join(file);
    std::fs::write(&lock, "").unwrap();
    cloud.want(&[(&app, &release(2))]);
    device.wait_status(&[file, service]);
    (cloud, device, app, lock)
}

fn still_on_the_first(cloud: &Cloud, app: &App) -> bool {
    cloud.reported()["apps"][&app.uuid]["release_uuid"] == release(1).commit.as_str()
}

#[test]
fn either_file_name_blocks_the_whole_app() {
    for (service, file) in [("main", "updates.lock"), ("db", "resin-updates.lock")] {
        let (cloud, device, app, lock) = blocked(service, file);
        std::thread::sleep(Duration::from_secs(2));
        assert!(still_on_the_first(&cloud, &app), "{file} of {service} was ignored");
        assert!(lock.exists(), "the application's lock is not the agent's to remove");
        let listed = device.command(&["lock", "list"]);
        assert!(listed.code == 0 && listed.stdout.contains(service) && listed.stdout.contains("application"), "{listed:?}");
        std::fs::remove_file(&lock).unwrap();
        cloud.wait_settled(&app, &release(2));
    }
}

#[test]
fn the_override_variable_breaks_a_lock_an_update_waits_for() {
    let (cloud, device, app, lock) = blocked("main", "updates.lock");
    cloud.set_target(device_target(&[(&app, &release(2))], &[("BALENA_SUPERVISOR_OVERRIDE_LOCK", "true")]));
    cloud.wait_settled(&app, &release(2));
    wait_for("no lock to be left", || check(!lock.exists(), lock.display()));
    assert!(device.log().contains("override"), "the forced case is logged with who asked");
}

#[test]
fn a_forced_request_breaks_it_and_the_next_update_waits_again() {
    let (cloud, device, app, lock) = blocked("main", "updates.lock");
    let forced = device.command(&["update", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    cloud.wait_settled(&app, &release(2));
    wait_for("no lock to be left", || check(!lock.exists(), lock.display()));

    std::fs::write(&lock, "").unwrap();
    cloud.want(&[(&app, &release(3))]);
    device.wait_status(&["updates.lock"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(
        cloud.reported()["apps"][&app.uuid]["release_uuid"],
        release(2).commit.as_str(),
        "force belongs to the request it came with"
    );
}

#[test]
fn a_lock_survives_a_restart_of_the_agent() {
    let (cloud, mut device, app, lock) = blocked("main", "updates.lock");
    device.kill();
    device.start();
    device.wait_status(&["updates.lock", "main"]);
    assert!(lock.exists());
    std::fs::remove_file(&lock).unwrap();
    cloud.wait_settled(&app, &release(2));
}

#[test]
fn the_agent_leaves_no_lock_behind() {
    let (cloud, device, app, lock) = blocked("main", "updates.lock");
    std::fs::remove_file(&lock).unwrap();
    cloud.wait_settled(&app, &release(2));
    wait_for("the lock folders to be empty", || {
        let left: Vec<PathBuf> = ["db", "main"]
            .iter()
            .flat_map(|service| std::fs::read_dir(device.lock_dir(&app, service)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect();
        check(left.is_empty(), format!("{left:?}"))
    });
}
