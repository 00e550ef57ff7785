//! What config.json says (protocol §10), key by key: a bad value never hides a good one.

use std::time::Duration;

use serde_json::Value;

use super::certificates::root_certificates;
use super::document::Document;
use super::fault::{Origin, SettingFault};
use super::kinds::{Checked, base_url, duration_between, label, registry_host, slug, token, uuid};
use super::permissive::{boolean, duration, number, text};
use super::secret::Secret;

/// Shortest time between polls.
pub const LEAST_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between polls: a device that asks less often than once a week is taken for lost.
pub const MOST_POLL_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// Largest id: the database holds 64 bits with a sign.
const LARGEST_ID: u64 = i64::MAX as u64;

/// What config.json says of the cloud (protocol §10).
#[derive(Clone, Debug, PartialEq)]
pub struct CloudSettings {
    /// Base URL without a trailing slash; empty is an unmanaged device.
    pub api_endpoint: String,
    /// Device uuid, 32 hex digits (longer ones are taken as they are).
    pub uuid: Option<String>,
    /// Device key.
    pub device_api_key: Option<Secret>,
    /// Provisioning key.
    pub api_key: Option<Secret>,
    /// The device's id in the cloud.
    pub device_id: Option<u64>,
    /// The fleet's id.
    pub application_id: Option<u64>,
    /// Whose device it becomes when it registers, where config.json says so (`userId`).
    pub user_id: Option<u64>,
    /// When the device was provisioned, ms or s since 1970 (`registered_at`).
    pub registered_at: Option<u64>,
    /// Device type slug.
    pub device_type: Option<String>,
    /// Name to give the device after it was provisioned for the first time.
    pub initial_device_name: Option<String>,
    /// The registry that gets the device's credentials, when it is not a host below `api_endpoint`'s.
    pub registry_endpoint: Option<String>,
    /// Base URL of the log stream, where it is not `api_endpoint`.
    pub logs_endpoint: Option<String>,
    /// PEM certificates the device trusts besides the bundled ones (`balenaRootCA`, base64 in the file).
    pub root_ca_pem: Option<String>,
    /// OS development mode.
    pub development_mode: bool,
    /// Keep the host's journal on disk.
    pub persistent_logging: bool,
    /// Port of the local API where a container needs it.
    pub listen_port: u16,
    /// Port of the local API while something between it and the containers has `listen_port`.
    pub listen_port_override: Option<u16>,
    /// How long a connection to the local API may wait for its answer.
    pub api_timeout: Duration,
    /// Time between attempts to provision.
    pub bootstrap_retry_delay: Duration,
}

impl Default for CloudSettings {
    fn default() -> Self {
        CloudSettings {
            api_endpoint: String::new(),
            uuid: None,
            device_api_key: None,
            api_key: None,
            device_id: None,
            application_id: None,
            user_id: None,
            registered_at: None,
            device_type: None,
            initial_device_name: None,
            registry_endpoint: None,
            logs_endpoint: None,
            root_ca_pem: None,
            development_mode: false,
            persistent_logging: false,
            listen_port: 48484,
            listen_port_override: None,
            api_timeout: Duration::from_secs(15 * 60),
            bootstrap_retry_delay: Duration::from_secs(30),
        }
    }
}

/// Everything read from config.json.
pub(super) struct FromConfigJson {
    pub cloud: CloudSettings,
    pub poll_interval: Option<Duration>,
    pub faults: Vec<SettingFault>,
    /// Keys whose value is bad.
    pub bad: Vec<&'static str>,
}

impl FromConfigJson {
    /// Decodes and checks every key; a bad value is replaced by the good document's, else by the default.
    pub fn read(document: &Document, good: Option<&Document>) -> FromConfigJson {
        let mut keys = Keys { document, good, faults: Vec::new(), bad: Vec::new() };
        let seconds = |most| duration(duration_between(Duration::from_secs(1), Duration::from_secs(most)));
        let default = CloudSettings::default();
        let cloud = CloudSettings {
            api_endpoint: keys.get("apiEndpoint", text(base_url)).unwrap_or_default(),
            uuid: keys.get("uuid", text(uuid)),
            device_api_key: keys.get("deviceApiKey", text(token)).map(Secret::from),
            api_key: keys.get("apiKey", text(token)).map(Secret::from),
            device_id: keys.get("deviceId", number(1, LARGEST_ID)),
            application_id: keys.get("applicationId", number(1, LARGEST_ID)),
            user_id: keys.get("userId", number(1, LARGEST_ID)),
            registered_at: keys.get("registered_at", number(0, LARGEST_ID)),
            device_type: keys.get("deviceType", text(slug)),
            initial_device_name: keys.get("initialDeviceName", text(label)),
            registry_endpoint: keys.get("registryEndpoint", text(registry_host)),
            logs_endpoint: keys.get("logsEndpoint", text(base_url)),
            root_ca_pem: keys.get("balenaRootCA", text(root_certificates)),
            development_mode: keys.get("developmentMode", boolean).unwrap_or_default(),
            persistent_logging: keys.get("persistentLogging", boolean).unwrap_or_default(),
            listen_port: keys.get("listenPort", port).unwrap_or(default.listen_port),
            listen_port_override: keys.get("listenPortOverride", port),
            api_timeout: keys.get("apiTimeout", seconds(86_400)).unwrap_or(default.api_timeout),
            bootstrap_retry_delay: keys.get("bootstrapRetryDelay", seconds(86_400)).unwrap_or(default.bootstrap_retry_delay),
        };
        let within = duration(duration_between(LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL));
        let poll_interval = keys.get("appUpdatePollInterval", within);
        FromConfigJson { cloud, poll_interval, faults: keys.faults, bad: keys.bad }
    }
}

/// A port of TCP.
fn port(value: &Value) -> Checked<Option<u16>> {
    number(1, u64::from(u16::MAX))(value).map(|port| port.and_then(|port| u16::try_from(port).ok()))
}

/// Keys whose value is never shown.
const SECRET_KEYS: [&str; 2] = ["deviceApiKey", "apiKey"];

/// Longest value shown in a message, characters.
const LONGEST_SHOWN: usize = 80;

struct Keys<'a> {
    document: &'a Document,
    good: Option<&'a Document>,
    faults: Vec<SettingFault>,
    bad: Vec<&'static str>,
}

impl Keys<'_> {
    fn get<T>(&mut self, key: &'static str, decode: impl Fn(&Value) -> Checked<Option<T>>) -> Option<T> {
        let value = self.document.get(key)?;
        let expected = match decode(&value) {
            Ok(decoded) => return decoded,
            Err(expected) => expected,
        };
        let good = self.good.and_then(|good| good.get(key)).and_then(|value| decode(&value).ok()?);
        let instead = if good.is_some() { "the last good value" } else { "the default" };
        self.bad.push(key);
        self.faults.push(SettingFault {
            subject: Origin::ConfigJson(key).to_string(),
            message: format!("{} is not valid: expected {expected}; {instead} is used until it is mended", shown(key, &value)),
        });
        good
    }
}

fn shown(key: &str, value: &Value) -> String {
    let text = value.to_string();
    // An address with credentials is as secret as a key.
    if SECRET_KEYS.contains(&key) || (text.contains("://") && text.contains('@')) {
        return "the value".to_owned();
    }
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, good: Option<&str>) -> FromConfigJson {
        let parse = |text: &str| Document::parse(text.as_bytes()).unwrap();
        FromConfigJson::read(&parse(text), good.map(parse).as_ref())
    }

    #[test]
    fn a_device_as_balena_writes_it() {
        let read = read(
            r#"{"apiEndpoint":"https://api.example.com/","uuid":"00112233445566778899aabbccddeeff","deviceApiKey":"k1","apiKey":"",
                "deviceId":"17","applicationId":5,"registered_at":1700000000000,"deviceType":"raspberrypi4-64","listenPort":"48485",
                "registryEndpoint":"registry2.example.com","developmentMode":"true","appUpdatePollInterval":"600000",
                "persistentLogging":false,"apiTimeout":900000,"logsEndpoint":null,"vpnPort":443,"os":{"sshKeys":[]}}"#,
            None,
        );
        assert_eq!((read.faults, read.bad), (vec![], vec![]));
        assert_eq!(read.poll_interval, Some(Duration::from_secs(600)));
        let expected = CloudSettings {
            api_endpoint: "https://api.example.com".into(),
            uuid: Some("00112233445566778899aabbccddeeff".into()),
            device_api_key: Some("k1".into()),
            device_id: Some(17),
            application_id: Some(5),
            registered_at: Some(1_700_000_000_000),
            device_type: Some("raspberrypi4-64".into()),
            registry_endpoint: Some("registry2.example.com".into()),
            development_mode: true,
            listen_port: 48485,
            ..CloudSettings::default()
        };
        assert_eq!(read.cloud, expected);
    }

    #[test]
    fn a_bad_value_gives_way_to_the_last_good_one_and_the_others_stand() {
        let good = r#"{"apiEndpoint":"https://old.example.com","listenPort":1}"#;
        let read = read(r#"{"apiEndpoint":"htp:/x","deviceId":-4,"listenPort":2,"deviceApiKey":"a b"}"#, Some(good));
        assert_eq!(read.cloud.api_endpoint, "https://old.example.com");
        assert_eq!((read.cloud.device_id, read.cloud.listen_port), (None, 2));
        assert_eq!(read.bad, ["apiEndpoint", "deviceApiKey", "deviceId"]);
        let texts: Vec<String> = read.faults.iter().map(ToString::to_string).collect();
        assert!(texts[0].starts_with("config.json, key apiEndpoint: \"htp:/x\" is not valid: expected an http"), "{}", texts[0]);
        assert!(texts[0].contains("the last good value is used"), "{}", texts[0]);
        assert!(!texts[1].contains("a b"), "a key was shown: {}", texts[1]);
        assert!(texts[2].contains("the default is used"), "{}", texts[2]);
    }

    #[test]
    fn a_bad_copy_does_not_help_and_long_values_are_cut() {
        let long = format!(r#"{{"uuid":"{}"}}"#, "é".repeat(500));
        let read = read(&long, Some(r#"{"uuid":"short"}"#));
        assert_eq!(read.cloud.uuid, None);
        assert!(read.faults[0].message.len() < 400);
    }
}
