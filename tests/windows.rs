//! Download and update windows on a real engine, built around the present hour.
// needs: engine

use std::process::Command;
use std::time::Duration;

use crate::support::{Engine, Release, Role, Service, Site, check, ids, wait_for};

const UPDATE: &str = "BALENA_HOLDFAST_UPDATE_WINDOW";
const DOWNLOAD: &str = "BALENA_HOLDFAST_DOWNLOAD_WINDOW";

/// Local time some hours from now, as the device itself would print it.
fn in_hours(hours: i32, format: &str) -> String {
    let date = Command::new("date").args(["-d", &format!("{hours} hours"), &format!("+{format}")]).env("LC_ALL", "C").output();
    String::from_utf8(date.expect("date is there").stdout).expect("plain text").trim().to_owned()
}

/// A weekly window from some hours from now until others.
fn window(from: i32, to: i32) -> String {
    format!("{} {}-{}", in_hours(from, "%a"), in_hours(from, "%H:%M"), in_hours(to, "%H:%M"))
}

fn release(name: &str, image: &str) -> Release {
    Release::new(name).service("main", Service::new(image))
}

#[test]
fn a_closed_update_window_holds_the_switch_back_and_force_passes() {
    let Some(engine) = Engine::shared() else { return };
    let closed = window(2, 5);
    let mut site = Site::on(&engine);
    // A first install interrupts nobody.
    let first = release("first", &engine.image(Role::Sleeps, "1"));
    site.want_with(&first, &[(UPDATE, &closed)]);
    site.join();
    let before = site.wait_settled(&first);

    let image = engine.image(Role::Sleeps, "2");
    let second = release("second", &image);
    site.want_with(&second, &[(UPDATE, &closed)]);
    let opens = in_hours(2, "%Y-%m-%d %H:%M");
    let why = site.wait_reason("waiting-for-update-window");
    assert!(why.contains(&closed), "{why}");
    // The minute may have changed since the window was made.
    assert!(why.contains(&opens[..14]), "the next opening is {opens}: {why}");
    assert!(engine.has_image(&image), "the download is not held back");
    for command in ["status", "plan"] {
        let shown = site.device.command(&[command]);
        assert!(shown.code == 0 && shown.stdout.contains(&closed) && shown.stdout.contains(&opens[..14]), "{shown:?}");
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(ids(&engine.wait_running(&site.app, &first.commit, &["main"])), ids(&before));

    assert_eq!(site.device.command(&["update", "--force"]).code, 0);
    site.wait_settled(&second);
    // That one only: the window holds for the next.
    site.want_with(&release("third", &engine.image(Role::Sleeps, "3")), &[(UPDATE, &closed)]);
    site.wait_reason("waiting-for-update-window");
    assert_eq!(engine.service(&site.app, "main").name, second.container_name("main"));
}

#[test]
fn a_closed_download_window_holds_the_download_back() {
    let Some(engine) = Engine::shared() else { return };
    let (site, before) = Site::settled(&engine, &release("first", &engine.image(Role::Sleeps, "1")));
    let closed = window(-3, -1);
    let image = engine.image(Role::Sleeps, "2");
    let second = release("second", &image);
    site.want_with(&second, &[(DOWNLOAD, &closed)]);
    let why = site.wait_reason("waiting-for-download-window");
    // It was open an hour ago, and is again in a week less three hours.
    let opens = in_hours(7 * 24 - 3, "%Y-%m-%d");
    assert!(why.contains(&closed) && why.contains(&opens), "the next opening is {opens}: {why}");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!engine.has_image(&image));
    assert_eq!(engine.service(&site.app, "main").id, before[0].id);

    assert_eq!(site.device.command(&["update", "--force"]).code, 0);
    site.wait_settled(&second);
}

#[test]
fn open_windows_let_everything_through() {
    let Some(engine) = Engine::shared() else { return };
    let (site, _) = Site::settled(&engine, &release("first", &engine.image(Role::Sleeps, "1")));
    let second = release("second", &engine.image(Role::Sleeps, "2"));
    let both = format!("{}; {}", window(-20, -18), window(-1, 2));
    site.want_with(&second, &[(UPDATE, &both), (DOWNLOAD, &both)]);
    site.wait_settled(&second);
    assert!(!site.device.log().contains("waits:"), "nothing was held back");
}

#[test]
fn a_window_that_cannot_be_read_stays_closed_and_says_so() {
    let Some(engine) = Engine::shared() else { return };
    let (site, before) = Site::settled(&engine, &release("first", &engine.image(Role::Sleeps, "1")));
    let second = release("second", &engine.image(Role::Sleeps, "2"));
    site.want_with(&second, &[(UPDATE, "some time at night")]);
    let why = site.wait_reason("waiting-for-update-window");
    assert!(why.contains("HOLDFAST_UPDATE_WINDOW") && why.contains("some time at night"), "{why}");
    assert_eq!(engine.service(&site.app, "main").id, before[0].id);
    // The correction lets it through without anybody's help.
    site.want_with(&second, &[]);
    site.wait_settled(&second);
    wait_for("nothing to be waited for", || check(site.waits().is_empty(), format!("{:?}", site.waits())));
}
