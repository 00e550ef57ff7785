//! Names that speak of a secret, and those of environments and labels.

/// Anywhere in a name, letters and digits alone.
const ANYWHERE: [&str; 18] = [
    "apikey",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "privatekey",
    "accesskey",
    "authorization",
    "registryauth",
    "psk",
    "wepkey",
    "cookie",
    "mixpanel",
    "pubnub",
    "wifikey",
    "signature",
];

/// A whole word of a name.
const WORDS: [&str; 15] =
    ["key", "keys", "pass", "pwd", "pw", "auth", "auths", "login", "pin", "jwt", "bearer", "salt", "otp", "passcode", "sig"];

/// Names that are none though they look like one.
const HARMLESS: [&str; 8] =
    ["key-mgmt", "auth-alg", "keymap", "publickey", "public_key", "psk-flags", "password-flags", "secret_removed"];

/// Labels of the platforms themselves.
const PLATFORM_LABELS: [&str; 6] =
    ["io.balena.", "io.resin.", "io.holdfast.", "com.docker.", "org.opencontainers.", "io.containerd."];

/// Variables that every container has, and whose values stand everywhere for good reason.
const ORDINARY_VARIABLES: [&str; 8] = ["PATH", "HOME", "LANG", "LC_ALL", "TERM", "TZ", "HOSTNAME", "DBUS_SYSTEM_BUS_ADDRESS"];

/// Whether a field, variable or label of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if HARMLESS.contains(&lower.as_str()) {
        return false;
    }
    let squeezed: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    ANYWHERE.iter().any(|word| squeezed.contains(word)) || words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name, lower case: between other characters than letters, and from capital to capital (`deviceApiKey`,
/// `APIKey`).
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            spaced.push(' ');
        }
        spaced.push(if c.is_ascii_alphabetic() { c.to_ascii_lowercase() } else { ' ' });
        before = c;
    }
    spaced.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// Whether a field holds environment variables.
pub(super) fn is_environment(field: &str) -> bool {
    ["env", "environment", "args", "buildargs"].contains(&field.to_ascii_lowercase().as_str())
}

/// Whether a field holds labels.
pub(super) fn is_labels(field: &str) -> bool {
    ["labels", "annotations"].contains(&field.to_ascii_lowercase().as_str())
}

/// Whether a label is one of the platform's own.
pub(super) fn is_platform_label(name: &str) -> bool {
    PLATFORM_LABELS.iter().any(|prefix| name.starts_with(prefix)) && !is_secret(name)
}

/// Whether a variable's value is told all over and none of the application's.
pub(super) fn is_ordinary_variable(name: &str) -> bool {
    ORDINARY_VARIABLES.contains(&name) || (name.starts_with("BALENA_") || name.starts_with("RESIN_")) && !is_secret(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "deviceApiKey",
            "apiKey",
            "API_KEY",
            "BALENA_API_KEY",
            "password",
            "dbPassword",
            "MYSQL_ROOT_PASSWORD",
            "psk",
            "wep-key0",
            "X-Registry-Auth",
            "token",
            "GITHUB_TOKEN",
            "client_secret",
            "auth",
            "pin",
            "sshKeys",
            "private-key-password",
            "key",
            "api_secret",
            "wifiKey",
            "mixpanelToken",
            "login",
            "SIM_PIN",
            "dbPw",
            "aws.secretAccessKey",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["uuid", "key-mgmt", "keyboard", "monkey", "author", "pinned", "apiEndpoint", "passing", "etag", "path", "compass"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn labels_and_variables_of_the_platform() {
        assert!(is_platform_label("io.balena.app-id") && !is_platform_label("com.example.note"));
        assert!(!is_platform_label("io.balena.api-key"));
        assert!(is_ordinary_variable("BALENA_DEVICE_UUID") && !is_ordinary_variable("BALENA_API_KEY"));
    }
}
