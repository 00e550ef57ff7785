//! Secrets planted in every place a device may have them, and the search for them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::{fakes, on_root};
use crate::support::{App, Cloud, Device, Release, Service};

/// A secret of its own for each place; long enough to be nobody else's text.
pub fn secret(place: &str) -> String {
    let sum = place.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("Planted7{}{sum:x}", place.replace(|c: char| !c.is_ascii_alphanumeric(), ""))
}

/// Places where a value is a secret by its name, or by what it is.
pub const PLACES: [&str; 35] = [
    "config apiKey",
    "config wifi",
    "config nested",
    "config url",
    "good copy",
    "nm psk",
    "nm wep",
    "boot psk",
    "state psk",
    "wpa psk",
    "proxy login",
    "proxy password",
    "registry password",
    "agent env proxy",
    "container env",
    "container label",
    "container cmd",
    "container flag",
    "container health",
    "container url",
    "container log option",
    "network label",
    "volume option",
    "info proxy",
    "target env",
    "target label",
    "target command",
    "target config",
    "database value",
    "database event url",
    "log bearer",
    "log url",
    "log query",
    "log key line",
    "check output",
];

/// Values that only the environment makes secret: kept when they are asked for.
pub const PLAIN: [&str; 4] = ["container plain", "target plain", "container note", "agent env plain"];

/// Plants all of them and returns what `diagnose` has to be told to find them.
pub fn plant(device: &mut Device, root: &Path) -> Vec<String> {
    on_host(root);
    let cloud = Cloud::of(device);
    let (app, url) = (App::new(), cloud.url());
    let image = format!("registry.example.com/v2/{:032x}@sha256:{:064x}", 1, 1);
    let service = Service::new(&image)
        .variable("DB_PASSWORD", &secret("target env"))
        .label("io.balena.features.supervisor-api", "1")
        .variable("GREETING", &secret("target plain"))
        .label("com.example.password", &secret("target label"))
        .field("command", json!(["serve", "--password", secret("target command")]));
    let release = Release::new("first").service("main", service);
    let config = [("HOLDFAST_AGENT_URL", format!("https://u:{}@example.com/a", secret("target config")))];
    let config: Vec<(&str, &str)> = config.iter().map(|(name, value)| (*name, value.as_str())).collect();
    cloud.set_target(crate::support::device_target(&[(&app, &release)], &config));
    let (uuid, key) = (device.uuid.clone(), device.key());
    let document = |wifi: &str| {
        json!({
            "apiEndpoint": url, "uuid": uuid, "deviceApiKey": key, "deviceType": "generic-amd64", "deviceId": 1,
            "applicationId": 1, "apiKey": secret("config apiKey"), "wifiKey": wifi,
            "os": { "network": { "proxy": { "password": secret("config nested") } } },
            "logsEndpoint": null, "deltaEndpoint": format!("https://u:{}@delta.example.com", secret("config url")),
        })
    };
    // The first is only in the good copy by the time the bundle is made.
    let mut first = document(&secret("good copy"));
    // With a provisioning key it would have to register first.
    first.as_object_mut().unwrap().remove("apiKey");
    device.write_config(&first);
    device.start();
    cloud.wait_settled(&app, &release);
    device.stop();
    device.write_config(&document(&secret("config wifi")));
    in_database(&device.path("data").join("database.sqlite"));
    fakes::engine(&device.path("fake.sock"), vec![container(device.key())], engine_info());
    let engine = format!("unix://{}", device.path("fake.sock").display());
    vec!["--engine".to_owned(), engine, "--host-root".to_owned(), root.display().to_string()]
}

fn on_host(root: &Path) {
    let put = |path: &str, text: String| on_root(root, path, &text, 0o600);
    let wifi = |psk: &str| format!("[wifi]\nssid=shed\n[wifi-security]\nkey-mgmt=wpa-psk\npsk={psk}\n");
    put("etc/NetworkManager/system-connections/one", wifi(&secret("nm psk")));
    put("etc/NetworkManager/system-connections/two", format!("[wifi-security]\nwep-key0={}\n", secret("nm wep")));
    put("mnt/boot/system-connections/three", wifi(&secret("boot psk")));
    put("mnt/state/root-overlay/etc/NetworkManager/system-connections/four", wifi(&secret("state psk")));
    put("etc/wpa_supplicant/wpa.conf", format!("network={{\n  ssid=\"x\"\n  psk=\"{}\"\n}}\n", secret("wpa psk")));
    let redsocks = format!(
        "redsocks {{\n  ip = 10.0.0.1;\n  login = \"{}\";\n  password = \"{}\";\n}}\n",
        secret("proxy login"),
        secret("proxy password")
    );
    put("mnt/boot/system-proxy/redsocks.conf", redsocks);
    let auth = base64(&format!("user:{}", secret("registry password")));
    put("root/.docker/config.json", json!({ "auths": { "r.example.com": { "auth": auth } } }).to_string());
    let variables = format!("HTTPS_PROXY=http://u:{}@p:1\nHINT={}\n", secret("agent env proxy"), secret("agent env plain"));
    put("etc/holdfast/agent.env", variables);
    let check = format!("#!/bin/sh\necho '{{\"verdict\":\"ok\",\"sentence\":\"token={}\"}}'\n", secret("check output"));
    on_root(root, "etc/holdfast/checks.d/leaky", &check, 0o755);
    std::fs::create_dir_all(root.join("var/log/journal")).unwrap();
    // What stands in files above is also told by the log, in forms of its own.
    let (psk, registry) = (secret("nm psk"), secret("registry password"));
    let (health, plain, key) = (secret("container env"), secret("target plain"), super::KEY);
    let log = format!(
        "Authorization: Bearer {}\nfetching https://u:{}@example.com/x?y\nGET /v1/device?apikey={}&x\n-----BEGIN EC PRIVATE KEY-----\n{}\n\
         -----END EC PRIVATE KEY-----\nassociating with {psk}\nX-Registry-Auth: {}\nheader {}\nsaid {health} and {plain}\nquery ?k={}\nkey {key}\n\
         in JSON {}\nplain words stay\n",
        secret("log bearer"),
        secret("log url"),
        secret("log query"),
        secret("log key line"),
        base64(&json!({ "username": "user", "password": registry }).to_string()),
        base64(&format!("d_0123:{key}")),
        psk.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>(),
        json!({ "m": json!({ "apiKey": secret("config apiKey") }).to_string() }),
    );
    on_root(root, "journalctl", &format!("#!/bin/sh\ncat <<'END'\n{log}END\n"), 0o755);
}

fn in_database(path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    let event = format!(
        "INSERT INTO event (run_id, boot_ms, kind, text, count) SELECT id, 1, 'error', 'GET https://u:{}@example.com failed', 1 FROM agent_run LIMIT 1",
        secret("database event url")
    );
    assert_eq!(database.execute(&event, []).unwrap(), 1);
    database.execute("INSERT INTO value (name, value) VALUES ('someToken', ?1)", [secret("database value")]).unwrap();
}

fn container(key: &str) -> Value {
    json!({
        "Id": "c0", "Name": "/main", "RestartCount": 0,
        "State": { "Running": true, "Health": { "Status": "unhealthy", "Log": [{ "ExitCode": 1, "Output": format!("password={} refused", secret("container health")) }] } },
        "Config": {
            "Env": [
                format!("DB_PASSWORD={}", secret("container env")), format!("HINT={}", secret("container plain")),
                format!("BALENA_API_KEY={key}"), "PATH=/usr/bin:/bin",
                format!("DATABASE_URL=postgres://u:{}@db/x", secret("container url")),
            ],
            "Labels": { "com.example.token": secret("container label"), "com.example.note": secret("container note"), "io.balena.app-id": "7" },
            "Cmd": ["serve", format!("--api-key={}", secret("container cmd")), "--password", secret("container flag")],
        },
        "HostConfig": { "LogConfig": { "Config": { "splunk-token": secret("container log option") } } },
    })
}

fn engine_info() -> Value {
    json!({
        "DockerRootDir": "/var/lib/docker", "HttpProxy": format!("http://u:{}@p:3128", secret("info proxy")),
        "Note": secret("network label"), "Options": format!("username=u,password={}", secret("volume option")),
    })
}

/// By another program.
pub fn base64(text: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("base64 is there");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// Every member of a bundle.
pub fn members(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let tar = std::process::Command::new("tar").arg("-xzf").arg(bundle).arg("-C").arg(folder.path()).status();
    assert!(tar.expect("tar is there").success());
    let mut members = BTreeMap::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = Vec::new();
            std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            members.insert(path.strip_prefix(folder.path()).unwrap().display().to_string(), bytes);
        }
    }
    members
}

/// Where a text is found: as it is, in base64 at any place, in an address.
pub fn found(members: &BTreeMap<String, Vec<u8>>, secret: &str) -> Vec<String> {
    let addressed: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // The middle of what it looks like in base64 after none, one or two bytes.
    let encoded = ["", "x", "xx"].map(|before| {
        let text = base64(&format!("{before}{secret}"));
        text[4..text.len() - 4].to_owned()
    });
    let forms: Vec<String> =
        encoded.into_iter().chain([secret.to_owned(), addressed.clone(), addressed.to_lowercase()]).collect();
    let holds = |bytes: &[u8], form: &str| bytes.windows(form.len()).any(|window| window == form.as_bytes());
    members
        .iter()
        .flat_map(|(name, bytes)| forms.iter().filter(|form| holds(bytes, form)).map(move |form| format!("{name}: {form}")))
        .collect()
}
