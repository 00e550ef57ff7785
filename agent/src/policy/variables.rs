//! Device configuration variables as the cloud and people write them.

use std::collections::BTreeMap;

/// Prefixes of device variables; `BALENA_` wins, none is accepted (behaviour §10).
const PREFIXES: [&str; 3] = ["BALENA_", "RESIN_", ""];

/// A boolean as the cloud and applications write it (protocol §17.1).
pub fn truthy(text: &str) -> bool {
    ["1", "true", "on"].iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// The value of a device variable, by its name without prefix.
pub fn variable<'a>(config: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    PREFIXES.iter().find_map(|prefix| config.get(&format!("{prefix}{name}"))).map(String::as_str)
}
