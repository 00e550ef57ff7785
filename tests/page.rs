//! The page at `/`, in a browser, against the built binary.
// needs: browser

use crate::support::{
    App, Browser, Cloud, Device, PATIENCE, Release, Service, Way, check, forward, free_port, wait_for, wait_within,
};
use serde_json::{Value, json};

const NARROW: u64 = 390;
const WIDE: u64 = 1280;

fn image(repository: &str, number: u8) -> String {
    format!("registry.example.com/{repository}/{}@sha256:{}{}", hex(number, 1), hex(number, 2), hex(number, 3))
}

/// Digits as they look where they come from hashes.
fn hex(number: u8, of: u64) -> String {
    let mix = |salt: u64| (u64::from(number) * 8 + of + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:016x}{:016x}", mix(0), mix(500))
}

fn release(number: u8, of_main: &str) -> Release {
    let mut release = Release::new(&format!("release {number}"));
    release.commit = hex(number, 4);
    release
        .service("db", Service::new(&image("v2", 1)))
        .service("main", Service::new(of_main))
        .service("telemetry", Service::new(&image("v2", 3)))
}

/// A device that wants a release, and the page it serves through its socket.
fn device(first: &Release) -> (Device, Cloud, App, String) {
    device_with(first, &[])
}

/// The same with variables of the agent's environment.
fn device_with(first: &Release, variables: &[(&'static str, &str)]) -> (Device, Cloud, App, String) {
    let mut device = Device::simulated();
    variables.iter().for_each(|(name, value)| device.set(name, value));
    let cloud = Cloud::of(&device);
    let app = App::new();
    cloud.want(&[(&app, first)]);
    device.join(&cloud);
    let address = format!("http://127.0.0.1:{}/", forward(device.path("agent.sock")));
    (device, cloud, app, address)
}

/// What has to be so in every state on every screen, and a picture of it for people to look at.
fn looks_right(browser: &mut Browser, state: &str) {
    for (name, width) in [("narrow", NARROW), ("wide", WIDE)] {
        browser.screen(width);
        browser.keep(&format!("{state}-{name}"));
        let widest = browser.value("document.documentElement.scrollWidth");
        assert!(widest.as_u64() <= Some(width), "{state} is {widest} wide on a screen of {width}");
        let sticking_out = browser.value(
            "[...document.querySelectorAll('main *')].filter(one => !one.closest('.lines, .unseen, svg, .image') \
             && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 200))",
        );
        assert_eq!(sticking_out, json!([]), "{state} on a screen of {width}");
    }
    assert_eq!(browser.complaints(), Vec::<Value>::new(), "{state}: the browser complains");
    let nameless = browser.value(
        "[...document.querySelectorAll('button, select, input, progress, [role=img], section:not([hidden])')] \
         .filter(one => one.checkVisibility()) \
         .filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length || one.getAttribute('aria-labelledby'))) \
         .map(one => one.outerHTML)",
    );
    assert_eq!(nameless, json!([]), "{state}: what a screen reader has no name for");
}

const SHARE: &str = "[...document.querySelectorAll('progress')].map(bar => bar.value)[0]";

#[test]
fn every_state_on_every_screen() {
    let Some(mut browser) = Browser::start() else { return };
    let first = release(1, &image("slow", 2));
    let (device, cloud, app, address) = device(&first);

    browser.open(&address);
    browser.wait_text(&["updating", &app.name, "main", "downloading", "none ran entirely yet"]);
    browser.wait(&format!("{SHARE} > 0"));
    let before = browser.value(SHARE);
    looks_right(&mut browser, "first-install");
    wait_for("the download to be seen to go on", || {
        let now = browser.value(SHARE);
        check(now.is_null() || now.as_f64() > before.as_f64(), format!("{now} after {before}"))
    });

    cloud.wait_settled(&app, &first);
    browser.wait_text(&["settled", "everything runs as the target asks"]);
    browser.wait("document.querySelectorAll('.service [data-tone=good]').length === 3 && !document.querySelector('progress')");
    looks_right(&mut browser, "healthy");

    let folder = device.lock_dir(&app, "main");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("updates.lock"), "").unwrap();
    let second = release(2, &image("v2", 12));
    cloud.want(&[(&app, &second)]);
    browser.wait_text(&["waiting", "update locks", "held by the application", "updates.lock", &second.commit[..7]]);
    browser.wait("document.getElementById('phase-body').innerText.includes('update lock of main')");
    looks_right(&mut browser, "lock-held");
    std::fs::remove_file(folder.join("updates.lock")).unwrap();
    cloud.wait_settled(&app, &second);
    browser.wait("document.getElementById('locks').hidden");

    cloud.want(&[(&app, &release(3, &image("missing", 13)))]);
    browser.wait_text(&["failed", "manifest unknown", "tried again"]);
    looks_right(&mut browser, "failed-pull");
}

#[test]
fn buttons_take_the_keyboard_and_a_confirmation() {
    let Some(mut browser) = Browser::start() else { return };
    let first = release(1, &image("v2", 2));
    let (_device, cloud, app, address) = device(&first);
    cloud.wait_settled(&app, &first);
    browser.open(&address);
    browser.wait_text(&["settled"]);
    browser.wait("!document.querySelector('[data-do=update]').disabled");

    let dialog = "document.getElementById('ask').open";
    browser.tab_to("Look for an update");
    browser.press("Enter");
    browser.wait(dialog);
    assert_eq!(browser.value("document.activeElement.textContent"), "Cancel", "Enter by mistake does nothing");
    browser.press("Escape");
    browser.wait(&format!("!{dialog}"));
    assert_eq!(browser.value("document.activeElement.textContent"), "Look for an update", "the focus is where it was");
    assert!(!browser.text().contains("the agent looks"), "nothing was asked for");

    browser.press("Enter");
    browser.wait(dialog);
    browser.tab_to("Look now");
    browser.press("Enter");
    browser.wait_text(&["done", "the agent looks for an update"]);
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn a_restart_the_log_figures_and_checks() {
    let Some(mut browser) = Browser::start() else { return };
    let first = release(1, &image("v2", 2));
    let (_device, cloud, app, address) = device_with(&first, &[("HOLDFAST_STATS_INTERVAL", "2s")]);
    cloud.wait_settled(&app, &first);
    browser.hurry(10);
    browser.open(&address);
    browser.wait_text(&["settled", "live", "what happened", "started service"]);

    browser.tab_to("Restart main");
    browser.press("Enter");
    browser.wait("document.getElementById('ask').open");
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.id"), "ask-yes");
    browser.press("Enter");
    browser.wait_text(&["main was restarted"]);

    browser.tab_to("Follow");
    browser.press("Enter");
    browser.wait("document.querySelectorAll('#logs-body > div').length > 0");
    browser.tab_to("Run the checks");
    browser.press("Enter");
    browser.wait_text(&["checks:", "failed", "as they should be"]);
    // What there was at the start makes no line yet; the page asks again every minute of its own.
    wait_within(PATIENCE, "figures", || {
        let charts = browser.value("document.querySelectorAll('figure svg[role=img][aria-label]').length");
        check(charts.as_u64() >= Some(2), charts)
    });
    looks_right(&mut browser, "everything");
}

#[test]
fn over_tcp_it_is_read_only_without_a_key() {
    let Some(mut browser) = Browser::start() else { return };
    let first = release(1, &image("v2", 2));
    let mut device = Device::simulated();
    let (cloud, app) = (Cloud::of(&device), App::new());
    let port = free_port();
    device.set("HOLDFAST_LISTEN", &format!("127.0.0.1:{port}"));
    cloud.want(&[(&app, &first)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &first);

    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_text(&["read only", "with its key", "settled", &app.name]);
    let text = browser.text();
    assert!(!text.contains(&device.uuid) && !text.contains("What happened") && !text.contains("Figures"), "{text}");
    assert_eq!(
        browser.value(
            "[...document.querySelectorAll('button[data-do]')].filter(one => !one.disabled && one.checkVisibility()).length"
        ),
        0
    );
    looks_right(&mut browser, "read-only");

    browser.value("document.getElementById('key').focus()");
    browser.type_text("ffffffffffffffffffffffffffffffff");
    browser.press("Enter");
    browser.wait_text(&["the key is not taken"]);
    let key = device.api_key(None);
    browser.value("document.getElementById('key').focus()");
    browser.type_text(&key);
    browser.press("Enter");
    browser.wait_text(&["settled", &app.name, "what happened", &device.uuid]);
    assert_eq!(browser.value("localStorage.length + document.cookie.length"), 0);
    assert_eq!(browser.value("document.documentElement.outerHTML.includes(sessionStorage.getItem('holdfast-key'))"), false);
    assert_eq!(browser.value("location.href"), format!("http://127.0.0.1:{port}/"), "the key is in no address");
}

#[test]
fn its_headers_and_both_forms() {
    let mut device = Device::simulated();
    device.write_config(&json!({ "apiEndpoint": "", "uuid": device.uuid }));
    let port = free_port();
    device.set("HOLDFAST_LISTEN", &format!("127.0.0.1:{port}"));
    device.start();
    let ways = [device.way(), Way::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into())];
    for way in ways {
        let packed =
            wait_for("an answer", || way.ask("GET", "/", "Accept-Encoding: gzip, br\r\n", "").map_err(|e| e.to_string()));
        assert_eq!((packed.status, packed.headers["content-encoding"].as_str()), (200, "gzip"));
        assert!(packed.body.len() <= 60 * 1024, "{} bytes", packed.body.len());
        println!("the page: {} bytes packed", packed.body.len());
        let plain = way.ask("GET", "/", "", "").unwrap();
        assert!(!plain.headers.contains_key("content-encoding"));
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.text());
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("vary", "accept-encoding"),
        ] {
            assert_eq!(plain.headers[name], value, "{name}");
        }
        assert!(plain.headers["content-security-policy"].starts_with("default-src 'none'; script-src 'sha256-"));
        assert_eq!(way.ask("HEAD", "/", "", "").unwrap().status, 200);
        assert_eq!(way.ask("POST", "/", "", "").unwrap().status, 405);
    }
}
