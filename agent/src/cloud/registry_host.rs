//! Which registry gets the device's credentials: the cloud's own, and no other.

use crate::settings::CloudSettings;

/// The port of a registry that names none.
const DEFAULT_PORT: u16 = 443;

/// Whether `host` (of an image reference, with its port if it has one) is the cloud's own registry.
///
/// With `registryEndpoint` set it is exactly that host and port (none means 443). Otherwise it is judged by its name, at
/// any port: when the API's host begins with `api.` and at least two labels are left, that rest and everything below it
/// (`api.example.com`: `example.com`, `*.example.com`), else exactly the API's host.
pub fn registry_host_is_ours(cloud: &CloudSettings, host: &str) -> bool {
    let Some((name, port)) = split_port(host) else { return false };
    if let Some(endpoint) = cloud.registry_endpoint.as_deref().map(without_scheme).filter(|endpoint| !endpoint.is_empty()) {
        return split_port(endpoint).is_some_and(|(own_name, own_port)| {
            own_name == name && own_port.unwrap_or(DEFAULT_PORT) == port.unwrap_or(DEFAULT_PORT)
        });
    }
    let Some((api, _)) = split_port(without_scheme(&cloud.api_endpoint)) else { return false };
    match api.strip_prefix("api.").filter(|rest| rest.split('.').filter(|label| !label.is_empty()).count() >= 2) {
        Some(rest) => name == rest || name.strip_suffix(rest).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        None => name == api,
    }
}

/// The host and port of an address: no scheme, no path.
fn without_scheme(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    rest.rsplit_once('@').map_or(rest, |(_, host)| host).trim()
}

/// Name, in lower case and without a trailing dot, and port. `None` when it is not a host.
fn split_port(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are its own; one with a port stands in brackets.
        Some((name, port)) if !port.ends_with(']') && (name.starts_with('[') || !name.contains(':')) => {
            (name, Some(port.parse().ok()?))
        }
        _ => (host, None),
    };
    let name = name.trim_end_matches('.').trim_matches(['[', ']']).to_ascii_lowercase();
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clouds_own_registry_gets_credentials() {
        let table = [
            // apiEndpoint, registryEndpoint, host, ours
            ("https://api.example.com", None, "registry2.example.com", true),
            ("https://api.example.com", None, "example.com", true),
            ("https://api.example.com", None, "a.b.Example.COM", true),
            ("https://api.example.com", None, "registry.example.com:5000", true),
            ("https://api.example.com:8443/x", None, "registry2.example.com", true),
            ("https://api.example.com", None, "badexample.com", false),
            ("https://api.example.com", None, ".example.com", false),
            ("https://api.example.com", None, "example.com.evil.org", false),
            ("https://api.example.com", None, "docker.io", false),
            ("https://api.example.com", None, "", false),
            ("https://api.example.com", None, "r.example.com:notaport", false),
            ("https://api.internal", None, "internal", false),
            ("https://api.internal", None, "registry.internal", false),
            ("https://api.internal", None, "api.internal", true),
            ("https://cloud.example.com", None, "cloud.example.com", true),
            ("https://cloud.example.com", None, "r.cloud.example.com", false),
            ("http://127.0.0.1:8080", None, "127.0.0.1:5000", true),
            ("http://127.0.0.1:8080", None, "127.0.0.2:5000", false),
            ("http://127.0.0.1:8080", None, "localhost:5000", false),
            ("http://[::1]:8080", None, "[::1]:5000", true),
            ("https://user@api.example.com", None, "r.example.com", true),
            ("https://api.example.com", Some("r.other.org"), "r.other.org", true),
            ("https://api.example.com", Some("r.other.org"), "r.other.org:443", true),
            ("https://api.example.com", Some("https://r.other.org/"), "r.other.org", true),
            ("https://api.example.com", Some("r.other.org"), "r.other.org:5000", false),
            ("https://api.example.com", Some("r.other.org:5000"), "r.other.org:5000", true),
            ("https://api.example.com", Some("r.other.org:5000"), "r.other.org", false),
            ("https://api.example.com", Some("r.other.org"), "registry2.example.com", false),
            ("https://api.example.com", Some(""), "registry2.example.com", true),
            ("", None, "registry2.example.com", false),
        ];
        for (api, registry, host, ours) in table {
            let cloud = CloudSettings {
                api_endpoint: api.into(),
                registry_endpoint: registry.map(str::to_owned),
                ..CloudSettings::default()
            };
            assert_eq!(registry_host_is_ours(&cloud, host), ours, "{api} {registry:?} {host}");
        }
    }
}
