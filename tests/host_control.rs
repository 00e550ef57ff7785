//! The host below the containers: boot configuration, restart and shutdown, name and proxy; on a tree that stands for the
//! host's root, and a bus of the test's own with somebody on it who writes down what he is asked for.
// runs: beside the others

use std::path::PathBuf;
use std::time::Duration;

use crate::support::{App, Bus, Cloud, Device, Release, Service, check, device_target, wait_for};
use serde_json::{Value, json};

const CONFIG_TXT: &str = "# made by a person\ngpu_mem=16\n\n[pi4]\ngpu_mem=76\n[all]\ndtoverlay=i2c-rtc,ds1307\n";
const REBOOT: &str = "org.freedesktop.login1.Manager.Reboot";
const RESTART: &str = "org.freedesktop.systemd1.Manager.RestartUnit";

fn release() -> Release {
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    Release::new("release 1").service("main", Service::new(&image))
}

/// A device with a host of its own, and what it is wanted to be.
struct Site {
    device: Device,
    cloud: Cloud,
    app: App,
    bus: Bus,
}

impl Site {
    /// `None` without dbus-daemon.
    fn new() -> Option<Site> {
        let mut device = Device::simulated();
        let bus = Bus::start(&device.path("bus"))?;
        let root = device.path("host");
        std::fs::create_dir_all(root.join("mnt/boot")).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/hostname"), "quiet-river\n").unwrap();
        std::fs::write(root.join("mnt/boot/config.txt"), CONFIG_TXT).unwrap();
        std::fs::write(root.join("mnt/boot/device-type.json"), r#"{"slug":"raspberrypi3","arch":"armv7hf"}"#).unwrap();
        // Before --host-root counts the lock folder too, which the suites keep beside it.
        std::fs::create_dir_all(root.join("locks")).unwrap();
        device.set("HOLDFAST_HOST_ROOT", root.to_str().unwrap());
        device.set("HOLDFAST_LOCK_DIR", "/locks");
        device.set("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
        let cloud = Cloud::of(&device);
        Some(Site { device, cloud, app: App::new(), bus })
    }

    /// The same with the agent running and settled.
    fn settled() -> Option<Site> {
        let mut site = Site::new()?;
        site.want(&[]);
        site.device.join(&site.cloud);
        site.cloud.wait_settled(&site.app, &release());
        // Reported comes a little before the locks are given back.
        site.wait_locks(&[]);
        Some(site)
    }

    fn want(&self, variables: &[(&str, &str)]) {
        self.cloud.set_target(device_target(&[(&self.app, &release())], variables));
    }

    fn host(&self, path: &str) -> PathBuf {
        self.device.path("host").join(path)
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.host(path)).unwrap_or_default()
    }

    fn lock(&self) -> PathBuf {
        let folder = self.host("locks").join(self.app.id.to_string()).join("main");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("updates.lock")
    }

    fn wait_locks(&self, names: &[&str]) {
        let folder = self.lock().parent().unwrap().to_owned();
        wait_for(&format!("the locks to be {names:?}"), || {
            let found = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
            let mut found: Vec<String> = found.collect();
            found.sort();
            check(found == names, format!("{found:?}"))
        });
    }

    fn wait_call(&self, call: &str, count: usize) {
        wait_for(&format!("{count} call(s) of {call}"), || {
            let calls = self.bus.calls();
            check(calls.iter().filter(|made| made.contains(call)).count() >= count, format!("{calls:?}"))
        });
    }

    fn count(&self, call: &str) -> usize {
        self.bus.calls().iter().filter(|made| made.contains(call)).count()
    }
}

const MARK: &str = "tmp/balena-supervisor/reboot-after-apply";

#[test]
fn a_variable_changes_config_txt_marks_and_restarts_once() {
    let Some(site) = Site::settled() else { return };
    site.want(&[("BALENA_HOST_CONFIG_gpu_mem", "64"), ("BALENA_HOST_CONFIG_kernel", "mine.img")]);
    site.wait_call(REBOOT, 1);
    assert_eq!(site.text("mnt/boot/config.txt"), CONFIG_TXT.replacen("gpu_mem=16", "gpu_mem=64", 1));
    assert!(site.text(MARK).contains("config.txt: gpu_mem=64"), "{}", site.text(MARK));
    let status = site.device.wait_status(&["was asked to restart"]);
    assert!(site.device.log().contains("HOST_CONFIG_kernel"), "the refused key is named: {status}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(site.count(REBOOT), 1, "it is asked for once");
}

#[test]
fn a_held_lock_delays_it_and_force_passes() {
    let Some(site) = Site::settled() else { return };
    std::fs::write(site.lock(), "").unwrap();
    site.want(&[("HOST_CONFIG_gpu_mem", "64")]);
    site.device.wait_status(&["updates.lock", "restarted as soon as"]);
    assert!(site.text("mnt/boot/config.txt").contains("gpu_mem=64"), "writing needs no lock");

    let refused = site.device.post("/v1/reboot", &Value::Null);
    let message = format!("Lockfile exists for {{ appId: {}, service: main }}", site.app.id);
    assert_eq!((refused.status, refused.json()), (423, json!({ "Data": "", "Error": message })));
    assert!(site.count(REBOOT) == 0 && site.lock().exists());

    let forced = site.device.post("/v1/reboot", &json!({ "force": true }));
    assert_eq!((forced.status, forced.json()), (202, json!({ "Data": "OK", "Error": null })));
    site.wait_locks(&["resin-updates.lock", "updates.lock"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.count(REBOOT), 1);
    assert!(site.device.log().contains("was broken by the local API"));
}

#[test]
fn a_lock_that_goes_lets_the_restart_go_on() {
    let Some(site) = Site::settled() else { return };
    std::fs::write(site.lock(), "").unwrap();
    site.want(&[("HOST_CONFIG_gpu_mem", "64")]);
    site.device.wait_status(&["updates.lock", "restarted as soon as"]);
    std::fs::remove_file(site.lock()).unwrap();
    site.wait_call(REBOOT, 1);
}

#[test]
fn shutdown_and_a_system_update_under_way() {
    let Some(site) = Site::settled() else { return };
    std::fs::create_dir_all(site.host("mnt/state")).unwrap();
    std::fs::write(site.host("mnt/state/rollback-health-breadcrumb"), "").unwrap();
    let refused = site.device.post("/v1/shutdown", &Value::Null);
    assert!(refused.status == 500 && refused.text().contains("Waiting for Host OS update"), "{}", refused.text());
    std::fs::remove_file(site.host("mnt/state/rollback-health-breadcrumb")).unwrap();
    assert_eq!(site.device.post("/v1/shutdown", &Value::Null).status, 202);
    site.wait_call("org.freedesktop.login1.Manager.PowerOff", 1);
}

#[test]
fn a_bus_that_is_away_is_said_and_the_locks_go_back() {
    let Some(mut site) = Site::settled() else { return };
    site.bus.stop();
    let failed = site.device.post("/v1/reboot", &Value::Null);
    assert!(failed.status == 500 && failed.text().contains("D-Bus"), "{}", failed.text());
    site.wait_locks(&[]);
}

/// At once, and in the middle or after it, wherever that is on this machine today: each moment on a device of its own.
#[test]
fn killed_anywhere_it_ends_with_the_file_the_mark_and_the_restart() {
    let moments = [0, 1, 2];
    std::thread::scope(|scope| moments.map(|moment| scope.spawn(move || killed_around(moment))).map(|one| one.join().unwrap()));
}

fn killed_around(moment: u64) {
    let Some(mut site) = Site::settled() else { return };
    let mut cuts = 0;
    for round in (moment..12).step_by(3) {
        let value = (20 + round).to_string();
        site.want(&[("HOST_CONFIG_gpu_mem", &value)]);
        let begin = std::time::Instant::now();
        let written = || site.text("mnt/boot/config.txt").contains(&format!("gpu_mem={value}"));
        while begin.elapsed() < Duration::from_secs(10) && !written() && round % 3 != 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(round / 3));
        site.device.kill();
        cuts += 1;
        site.bus.forget();
        site.device.start();
        site.wait_call(REBOOT, 1);
        assert_eq!(site.text("mnt/boot/config.txt"), CONFIG_TXT.replacen("gpu_mem=16", &format!("gpu_mem={value}"), 1));
        assert!(site.text(MARK).contains(&format!("gpu_mem={value}")));
        assert!(!site.device.path("data/boot-files.journal").exists());
        // The device has started again: the next round begins afresh.
        site.device.kill();
        std::fs::remove_file(site.host(MARK)).unwrap();
        let _ = std::fs::remove_dir_all(site.host("locks").join(site.app.id.to_string()));
        site.bus.forget();
        site.device.start();
        site.cloud.wait_settled(&site.app, &release());
    }
    println!("interrupted points: {cuts}");
}

#[test]
fn a_torn_file_is_completed_from_the_journal() {
    let Some(mut site) = Site::settled() else { return };
    site.want(&[("HOST_CONFIG_gpu_mem", "64")]);
    site.wait_call(REBOOT, 1);
    site.device.kill();
    // As a cut in the middle of the second step leaves it.
    let after = CONFIG_TXT.replacen("gpu_mem=16", "gpu_mem=64", 1);
    let change = json!({ "file": "config.txt", "before": CONFIG_TXT, "after": after });
    let entry = json!({ "files": [change], "reboot": "config.txt: gpu_mem=64", "restart": false }).to_string();
    let sum = ring::digest::digest(&ring::digest::SHA256, entry.as_bytes());
    let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(site.device.path("data/boot-files.journal"), format!("{sum}\n{entry}")).unwrap();
    std::fs::write(site.host("mnt/boot/config.txt"), &after[..20]).unwrap();
    std::fs::remove_file(site.host(MARK)).unwrap();
    site.bus.forget();
    site.device.start();
    site.wait_call(REBOOT, 1);
    assert_eq!(site.text("mnt/boot/config.txt"), after);
    assert!(!site.device.path("data/boot-files.journal").exists());
}

#[test]
fn host_config_sets_name_and_proxy() {
    let Some(site) = Site::settled() else { return };
    let get = || site.device.get("/v1/device/host-config").json();
    assert_eq!(get(), json!({ "network": { "hostname": "quiet-river" } }));
    let proxy = json!({ "type": "socks5", "ip": "10.0.0.1", "port": "1080", "login": "me", "password": "secret",
        "noProxy": ["10.0.0.0/8", "x.local"] });
    let answer = site.device.patch("/v1/device/host-config", &json!({ "network": { "hostname": "shed-7", "proxy": proxy } }));
    assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
    let conf = site.text("mnt/boot/system-proxy/redsocks.conf");
    assert!(conf.starts_with("base {\n\tlog_debug = off;\n") && conf.contains("\tpassword = \"secret\";\n\tlocal_ip"), "{conf}");
    assert_eq!(site.text("mnt/boot/system-proxy/no_proxy"), "10.0.0.0/8\nx.local");
    let config: Value = serde_json::from_slice(&std::fs::read(site.device.path("config.json")).unwrap()).unwrap();
    assert_eq!(config["hostname"], "shed-7");
    assert_eq!(get()["network"]["proxy"]["port"], 1080);
    // The one follows a target of its own; the other is restarted.
    let calls = site.bus.calls();
    let restarted: Vec<&String> = calls.iter().filter(|call| call.contains(RESTART)).collect();
    assert!(restarted.len() == 1 && restarted[0].contains("redsocks.service"), "{calls:?}");
    assert!(!site.device.log().contains("secret"));

    let removed = site.device.command(&["host-config", "set", "--remove-proxy", "--hostname", ""]);
    assert_eq!(removed.code, 0, "{removed:?}");
    assert!(!site.host("mnt/boot/system-proxy/redsocks.conf").exists());
    let config: Value = serde_json::from_slice(&std::fs::read(site.device.path("config.json")).unwrap()).unwrap();
    assert_eq!(config["hostname"], site.device.uuid[..7]);
    let shown = site.device.command(&["host-config", "get"]);
    assert!(shown.code == 0 && shown.stdout.contains("quiet-river") && shown.stdout.contains("none"), "{shown:?}");
    site.wait_locks(&[]);
}

#[test]
fn host_config_refuses_by_name_and_under_a_lock() {
    let Some(site) = Site::settled() else { return };
    for (network, field) in [
        (json!({ "proxy": { "type": "ftp" } }), "network.proxy.type"),
        (json!({ "proxy": { "ip": "10.0.0.1" } }), "network.proxy.type"),
        (json!({ "hostname": "a b" }), "network.hostname"),
        (Value::Null, "network"),
    ] {
        let refused = site.device.patch("/v1/device/host-config", &json!({ "network": network }));
        assert!(refused.status == 400 && refused.text().contains(field), "{} {}", refused.status, refused.text());
    }
    std::fs::write(site.lock(), "").unwrap();
    let change = json!({ "network": { "hostname": "shed-7" } });
    let locked = site.device.patch("/v1/device/host-config", &change);
    assert!(locked.status == 423 && locked.text().starts_with("Lockfile exists"), "{}", locked.text());
    let cli = site.device.command(&["host-config", "set", "--hostname", "shed-7"]);
    assert_eq!(cli.code, 4, "{cli:?}");
    let forced = site.device.command(&["host-config", "set", "--hostname", "shed-7", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
}

#[test]
fn a_device_without_a_back_end_says_so_once() {
    let Some(mut site) = Site::new() else { return };
    std::fs::write(site.host("mnt/boot/device-type.json"), r#"{"slug":"generic-amd64","arch":"amd64"}"#).unwrap();
    site.want(&[("HOST_CONFIG_gpu_mem", "64")]);
    site.device.join(&site.cloud);
    site.cloud.wait_settled(&site.app, &release());
    site.device.wait_status(&["HOST_CONFIG_gpu_mem", "generic-amd64"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(site.device.log().matches("HOST_CONFIG_gpu_mem: passed over").count(), 1);
    assert!(site.text("mnt/boot/config.txt") == CONFIG_TXT && site.count(REBOOT) == 0);
}
