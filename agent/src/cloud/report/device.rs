//! The fields that describe the device itself (protocol §6.2).

use serde_json::{Value, json};

use crate::cloud::{Report, SUPERVISOR_COMPATIBLE_VERSION};

/// What the cloud keeps of these fields, characters (protocol §6.2).
const OS_VERSION_CHARS: usize = 70;
const IP_ADDRESS_CHARS: usize = 2000;
const MAC_ADDRESS_CHARS: usize = 900;

/// What is known of the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceFields<'a> {
    /// `PRETTY_NAME` of the host's os-release.
    pub os_version: Option<&'a str>,
    /// `VARIANT_ID` of the host's os-release.
    pub os_variant: Option<&'a str>,
    /// The OS's development mode, which stands in for a missing variant.
    pub development_mode: bool,
    /// Addresses, space separated.
    pub ip_address: &'a str,
    /// MAC addresses, space separated.
    pub mac_address: &'a str,
    /// Port of the local API.
    pub api_port: u16,
    /// The global key of the local API; left out while there is none.
    pub api_secret: Option<&'a str>,
    /// How the machine is doing, by the names of the protocol; left out while nobody has looked.
    pub metrics: Option<&'a Report>,
}

/// `dev` or `prod`: the host's word when it is one of them, else by the development mode.
pub fn os_variant(variant_id: Option<&str>, development_mode: bool) -> &'static str {
    match variant_id {
        Some("dev") => "dev",
        Some("prod") => "prod",
        _ if development_mode => "dev",
        _ => "prod",
    }
}

/// The fields as they are reported.
pub(super) fn fields(device: &DeviceFields<'_>) -> Report {
    let mut fields = Report::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("status", json!("Idle"));
    put("os_version", json!(device.os_version.map(|version| version.chars().take(OS_VERSION_CHARS).collect::<String>())));
    put("os_variant", json!(os_variant(device.os_variant, device.development_mode)));
    put("supervisor_version", json!(SUPERVISOR_COMPATIBLE_VERSION));
    put("provisioning_progress", Value::Null);
    put("provisioning_state", json!(""));
    put("api_port", json!(device.api_port));
    // While nothing is known of an address, the cloud keeps the one it has.
    for (name, list, longest) in
        [("ip_address", device.ip_address, IP_ADDRESS_CHARS), ("mac_address", device.mac_address, MAC_ADDRESS_CHARS)]
    {
        if !list.is_empty() {
            put(name, json!(whole_words(list, longest)));
        }
    }
    if let Some(secret) = device.api_secret {
        put("api_secret", json!(secret));
    }
    fields.extend(device.metrics.cloned().unwrap_or_default());
    fields
}

/// As many whole words as fit.
fn whole_words(list: &str, longest: usize) -> String {
    let mut text = String::new();
    for word in list.split_whitespace() {
        if text.len() + 1 + word.len() > longest {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_that_are_known() {
        let metrics = Report::from_iter([("cpu_temp".to_owned(), json!(40))]);
        let device = DeviceFields {
            os_version: Some("testOS 1"),
            os_variant: None,
            development_mode: true,
            ip_address: "10.0.0.2 fd00::2",
            mac_address: "AA:BB:CC:DD:EE:FF",
            api_port: 48484,
            api_secret: Some("k"),
            metrics: Some(&metrics),
        };
        let expected = json!({
            "status": "Idle", "os_version": "testOS 1", "os_variant": "dev", "supervisor_version": "19.0.5",
            "provisioning_progress": null, "provisioning_state": "", "ip_address": "10.0.0.2 fd00::2",
            "mac_address": "AA:BB:CC:DD:EE:FF", "api_port": 48484, "api_secret": "k",
            "cpu_temp": 40,
        });
        assert_eq!(Value::Object(fields(&device)), expected);
    }

    #[test]
    fn unknown_ones_are_null_or_left_out_and_long_ones_cut_between_words() {
        let fields = fields(&DeviceFields::default());
        assert_eq!((&fields["os_version"], &fields["os_variant"]), (&Value::Null, &json!("prod")));
        for name in ["ip_address", "mac_address", "api_secret"] {
            assert!(!fields.contains_key(name), "{name}");
        }
        assert_eq!(whole_words("aaa bbb ccc", 8), "aaa bbb");
        assert_eq!(os_variant(Some("prod"), true), "prod");
        assert_eq!(os_variant(Some("server"), true), "dev");
    }
}
