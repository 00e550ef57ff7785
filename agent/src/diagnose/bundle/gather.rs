//! Everything a bundle is made of, as it is: secrets are removed later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::super::scene::Scene;
use super::{Raw, journal, read};
use crate::host::{Host, kernel_log, read_in};
use crate::http;

/// How long the agent has for one answer.
const AGENT_LIMIT: Duration = Duration::from_secs(20);
const AGENT_BYTES: usize = 20 * 1024 * 1024;
/// Files of one folder that are looked at.
const MOST_FILES: usize = 64;
/// The kernel's last words, bytes.
const KERNEL_BYTES: usize = 512 * 1024;

/// What the agent is asked.
const AGENT: [(&str, &str); 6] = [
    ("agent/status.json", "/v3/status"),
    ("agent/plan.json", "/v3/plan"),
    ("agent/target.json", "/v3/target"),
    ("agent/history.json", "/v3/target/history"),
    ("agent/locks.json", "/v3/locks"),
    ("agent/database.json", "/v3/db"),
];

/// What the engine is asked.
const ENGINE: [(&str, &str); 5] = [
    ("engine/version.json", "/version"),
    ("engine/info.json", "/info"),
    ("engine/images.json", "/images/json"),
    ("engine/networks.json", "/networks"),
    ("engine/volumes.json", "/volumes"),
];

/// Files of the machine itself.
const MACHINE: [&str; 12] = [
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/net/dev",
    "/proc/net/route",
    "/proc/net/wireless",
    "/proc/partitions",
    "/proc/uptime",
    "/proc/version",
];

/// Files of the host below its root.
const HOST: [&str; 11] = [
    "/etc/os-release",
    "/etc/resolv.conf",
    "/etc/hostname",
    "/etc/fstab",
    "/etc/holdfast/agent.env",
    "/etc/docker/daemon.json",
    "/mnt/boot/config.txt",
    "/mnt/boot/extra_uEnv.txt",
    "/mnt/boot/extlinux/extlinux.conf",
    "/mnt/boot/device-type.json",
    "/mnt/boot/system-proxy/redsocks.conf",
];

/// Folders of the host with connections, Wi-Fi passwords among them.
const CONNECTIONS: [&str; 4] = [
    "/mnt/boot/system-connections",
    "/etc/NetworkManager/system-connections",
    "/mnt/state/root-overlay/etc/NetworkManager/system-connections",
    "/etc/wpa_supplicant",
];

/// Files that do not go into the bundle at all, and hold what may stand elsewhere in it: credentials of registries.
const ONLY_KNOWN: [&str; 4] =
    ["/root/.docker/config.json", "/mnt/data/docker/config.json", "/home/root/.docker/config.json", "/etc/environment"];

/// Variables of this process with the address of a proxy, which may hold a password.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// What was found.
#[derive(Default)]
pub(super) struct Gathered {
    /// Members of the bundle.
    pub members: Vec<(String, Raw)>,
    /// What only helps to know secrets.
    pub known: Vec<(String, Raw)>,
    /// What could not be had, and why.
    pub missing: Vec<(String, String)>,
}

impl Gathered {
    fn take(&mut self, name: &str, found: Result<Raw, String>) {
        match found {
            Ok(raw) => self.members.push((name.to_owned(), raw)),
            Err(why) => self.missing.push((name.to_owned(), why)),
        }
    }
}

/// Everything, one after the other: nobody is in a hurry, and less is in memory at once.
pub(super) async fn everything(scene: &Scene) -> Gathered {
    let mut all = Gathered::default();
    agent(scene, &mut all).await;
    engine(scene, &mut all).await;
    all.take("log/holdfast.txt", journal::tail(scene, &["holdfast.service", "holdfast-update.service"]).await.map(Raw::Text));

    all.take(
        "log/engine.txt",
        journal::tail(scene, &["balena.service", "balena-engine.service", "docker.service", "podman.service"])
            .await
            .map(Raw::Text),
    );
    all.take("log/kernel.txt", kernel(scene).map(Raw::Text));
    events(scene, &mut all);
    configuration(scene, &mut all);
    facts(scene, &mut all).await;
    all
}

async fn agent(scene: &Scene, all: &mut Gathered) {
    for (name, path) in AGENT {
        let answer = http::ask(&scene.settings.socket, Method::GET, path, AGENT_LIMIT, AGENT_BYTES).await;
        let found = match answer {
            Ok((status, body)) if status.is_success() => Ok(read(String::from_utf8_lossy(&body).into_owned())),
            Ok((status, body)) => Err(format!("{status}: {}", http::shorten(&String::from_utf8_lossy(&body)))),
            Err(cause) => Err(cause),
        };
        let away = found.is_err() && name == AGENT[0].0;
        all.take(name, found);
        if away {
            // Who does not answer the first question need not be waited for five times more.
            all.missing.extend(AGENT[1..].iter().map(|(name, _)| ((*name).to_owned(), "the agent does not answer".to_owned())));
            return;
        }
    }
}

async fn engine(scene: &Scene, all: &mut Gathered) {
    for (name, path) in ENGINE {
        all.take(name, scene.ask_engine(Method::GET, path).await.map(Raw::Json));
    }
    all.take("engine/containers.json", scene.containers().await.map(|list| Raw::Json(Value::Array(list))));
}

/// The end of the kernel's log.
fn kernel(scene: &Scene) -> Result<String, String> {
    let log = kernel_log::open(&scene.machine).ok_or("the kernel's log cannot be read here")?;
    let mut bytes = Vec::new();
    kernel_log::each(&log, |record| {
        bytes.extend_from_slice(record);
        if bytes.len() > 2 * KERNEL_BYTES {
            bytes.drain(..bytes.len() - KERNEL_BYTES);
        }
        true
    });
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The events of the database: they say what happened also where the journal is gone.
fn events(scene: &Scene, all: &mut Gathered) {
    let rows = crate::store::events_of(&scene.settings.database);
    all.take("events.json", rows.map(|rows| Raw::Json(Value::Array(rows))).map_err(|error| error.to_string()));
}

fn configuration(scene: &Scene, all: &mut Gathered) {
    let settings = &scene.settings;
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let config = text(&settings.config).map(|text| match read(text) {
        // One that cannot be read as what it is still holds its keys.
        Raw::Text(text) => Raw::Configuration(text),
        other => other,
    });
    all.take("config.json", config);
    if let Ok(good) = text(&settings.data_dir.join("config.json.good")) {
        let document = good.find('{').map_or("", |at| &good[at..]);
        all.known.push(("config.json.good".to_owned(), read_or_configuration(document.to_owned())));
        all.known.push(("config.json.good".to_owned(), Raw::Configuration(good)));
    }
    let keys = [&settings.cloud.device_api_key, &settings.cloud.api_key].into_iter().flatten();
    let keys: Vec<&str> = keys.map(|key| key.reveal()).collect();
    all.known.push(("settings".to_owned(), Raw::Json(json!({ "secrets": keys }))));
    let proxies = PROXIES.iter().filter_map(|name| std::env::var(name).ok());
    all.known.push(("environment".to_owned(), Raw::Json(proxies.map(Value::from).collect())));
    for path in ONLY_KNOWN {
        if let Some(text) = read_in(&settings.host_root, path) {
            all.known.push((path.to_owned(), read_or_configuration(text)));
        }
    }
}

fn read_or_configuration(text: String) -> Raw {
    match read(text) {
        Raw::Text(text) => Raw::Configuration(text),
        other => other,
    }
}

async fn facts(scene: &Scene, all: &mut Gathered) {
    let root = &scene.settings.host_root;
    let metrics = serde_json::to_value(scene.host.metrics().await).unwrap_or_default();
    let device = serde_json::to_value(scene.host.device_info().await).unwrap_or_default();
    let version = crate::version::AGENT_VERSION;
    all.take("host/device.json", Ok(Raw::Json(json!({ "agent_version": version, "device": device, "metrics": metrics }))));
    for path in MACHINE {
        if let Some(text) = read_in(&scene.machine, path) {
            all.take(&format!("host{path}"), Ok(Raw::Text(text)));
        }
    }
    for path in HOST {
        if let Some(text) = read_in(root, path) {
            // A file of variables is an environment.
            let raw = match path.ends_with(".env") {
                true => Raw::Json(json!({ "environment": text.lines().collect::<Vec<_>>() })),
                false => read_or_configuration(text),
            };
            all.take(&format!("host{path}"), Ok(raw));
        }
    }
    for folder in CONNECTIONS {
        for name in names_in(&scene.on_host(folder)) {
            let path = PathBuf::from(folder).join(name);
            if let Some(text) = read_in(root, &path.to_string_lossy()) {
                all.take(&format!("host{}", path.display()), Ok(Raw::Configuration(text)));
            }
        }
    }
    let locks = scene.on_host(&scene.settings.lock_dir.to_string_lossy());
    all.take(
        "host/data-directory.json",
        Ok(Raw::Json(json!({ "names": names_in(&scene.settings.data_dir), "lock_root": names_in(&locks) }))),
    );
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MOST_FILES).filter_map(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
