//! A disk that is too small: what does not fit is refused with its numbers and not begun, and what nothing uses goes first.
// needs: engine

use crate::support::{Container, Engine, Release, Role, Service, Site, check, ids, seconds_now, wait_for};

/// The engine's disk, MiB. It may be filled to nine tenths, 120.7 MB; a download takes two and a half times its size.
const DISK_MIB: u32 = 128;

/// MB to download, with about one more for the busybox in each.
const SMALL: usize = 10;
const LEFT_OVER: usize = 30;
/// Fits beside the small one (92.5 of 106 MB), not beside the small one and the one left over.
const FITTING: usize = 36;
/// Fits beside nothing.
const HUGE: usize = 48;

fn release(name: &str, image: &str) -> Release {
    Release::new(name).service("main", Service::new(image))
}

/// The refusal as `holdfast status` shows it.
fn refusal(site: &Site<'_>, image: &str) -> String {
    let digest = image.split_once('@').expect("it is by digest").1;
    wait_for("the refusal in the status", || {
        let status = site.device.command(&["status"]).stdout;
        // A long sentence is folded on a screen.
        let flat = status.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = flat.contains("not enough room on the engine's disk") && site.device.log().contains(digest);
        check(told, &status).map(|()| flat)
    })
}

fn goes_on(site: &Site<'_>, before: &[Container], release: &Release) {
    let now = site.engine.wait_running(&site.app, &release.commit, &["main"]);
    assert_eq!((ids(&now), now[0].started_at()), (ids(before), before[0].started_at()), "the old release goes on untouched");
}

#[test]
fn what_does_not_fit_is_refused_and_what_nothing_uses_makes_room() {
    let Some(engine) = Engine::on_a_disk_of(DISK_MIB) else { return };
    engine.enter_network();
    let image = |name: &str, mb: usize| engine.image_with_ballast(Role::Sleeps, name, mb);
    let (small, left_over) = (image("small", SMALL), image("left over", LEFT_OVER));
    let (fitting, huge) = (image("fitting", FITTING), image("huge", HUGE));
    let first = release("first", &small);
    let (site, before) = Site::settled(&engine, &first);

    // Too large, whatever is removed.
    let begin = seconds_now();
    site.want(&release("huge", &huge));
    let text = refusal(&site, &huge);
    for part in ["are needed (", "to download", "may be written:", "MB are free", "the disk is filled to 90 % at most"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    site.cloud.wait_polls(5);
    let pulls = engine.events_between(begin, seconds_now(), &["pull"]);
    assert!(pulls.is_empty() && !engine.has_image(&huge), "nothing is downloaded: {pulls:?}");
    goes_on(&site, &before, &first);

    // An image that is downloaded and then not wanted any more: its release never got past the lock.
    let lock = site.device.lock_dir(&site.app, "main").join("updates.lock");
    std::fs::write(&lock, "").unwrap();
    site.want(&release("second", &left_over));
    site.wait_reason("waiting-for-lock");
    assert!(engine.has_image(&left_over));

    // It stands in the way of the next one, and goes.
    let third = release("third", &fitting);
    site.want(&third);
    wait_for("the download that needs its room", || {
        let status = site.device.status();
        check(engine.has_image(&fitting), status)
    });
    assert!(!engine.has_image(&left_over), "what nothing uses was removed first");
    assert!(engine.has_image(&small), "what runs was not");
    let log = site.device.log();
    let refused = log.rfind("not enough room on the engine's disk").expect("it was refused first");
    assert!(log[refused..].contains("nothing uses it, and the disk has no room for what is to be done"), "the log says why");
    site.wait_reason("waiting-for-lock");
    goes_on(&site, &before, &first);

    std::fs::remove_file(&lock).unwrap();
    site.wait_settled(&third);
    wait_for("the superseded image to go", || check(!engine.has_image(&small), "it is there"));
}
