//! The kinds of values settings have. Each check returns the value or what would have been right.

use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::time::Duration;

use super::duration::{FORM, format_duration, parse_duration};

/// A value, or what was expected instead.
pub(super) type Checked<T> = Result<T, String>;

/// Longest text taken as a name, key or address, in bytes: nothing real is longer.
const LONGEST_TEXT_BYTES: usize = 2048;

fn expected<T>(what: &str) -> Checked<T> {
    Err(what.to_owned())
}

/// An absolute path without `..`, so that it means the same wherever the agent was started.
pub(super) fn absolute_path(text: &str) -> Checked<PathBuf> {
    let path = PathBuf::from(text);
    let plain = !text.contains('\0') && !path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && plain && text.len() <= LONGEST_TEXT_BYTES {
        Ok(path)
    } else {
        expected("an absolute path without ..")
    }
}

/// `unix:///path` or `sim:`.
pub(super) fn engine_address(text: &str) -> Checked<String> {
    let known = text == "sim:" || text.strip_prefix("unix://").is_some_and(|path| absolute_path(path).is_ok());
    if known { Ok(text.to_owned()) } else { expected("unix:///path/of/the.sock or sim:") }
}

/// An IP address with a port.
pub(super) fn listen_address(text: &str) -> Checked<SocketAddr> {
    text.parse().or_else(|_| expected("an IP address with a port, such as 127.0.0.1:48484"))
}

/// A duration within bounds.
pub(super) fn duration_between(least: Duration, most: Duration) -> impl Fn(&str) -> Checked<Duration> + Copy {
    move |text| match parse_duration(text) {
        Ok(duration) if (least..=most).contains(&duration) => Ok(duration),
        _ => Err(format!("{FORM} from {} to {}", format_duration(least), format_duration(most))),
    }
}

/// Zero, or a duration within bounds.
pub(super) fn zero_or(least: Duration, most: Duration) -> impl Fn(&str) -> Checked<Duration> + Copy {
    move |text| match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Ok(duration),
        _ => duration_between(least, most)(text).map_err(|expected| format!("0, or {expected}")),
    }
}

/// A whole number within bounds.
pub(super) fn number_between(least: usize, most: usize) -> impl Fn(&str) -> Checked<usize> + Copy {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("a number from {least} to {most}")),
    }
}

/// A whole number of days within bounds.
pub(super) fn days_between(least: u32, most: u32) -> impl Fn(&str) -> Checked<Duration> + Copy {
    const DAY_SECONDS: u64 = 86_400;
    move |text| match text.trim().parse() {
        Ok(days) if (least..=most).contains(&days) => Ok(Duration::from_secs(u64::from(days) * DAY_SECONDS)),
        _ => Err(format!("a whole number of days from {least} to {most}")),
    }
}

/// Text for a header or a path: not empty, printable ASCII without spaces.
pub(super) fn token(text: &str) -> Checked<String> {
    let plain = !text.is_empty() && text.len() <= LONGEST_TEXT_BYTES && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(text.to_owned()) } else { expected("text of printable ASCII characters without spaces") }
}

/// Text for people: no control characters.
pub(super) fn label(text: &str) -> Checked<String> {
    let plain = text.len() <= LONGEST_TEXT_BYTES && !text.chars().any(char::is_control);
    if plain { Ok(text.to_owned()) } else { expected("text without control characters") }
}

/// A device's uuid: it stands in URLs and in names.
pub(super) fn uuid(text: &str) -> Checked<String> {
    let plain = (32..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(text.to_owned()) } else { expected("32 to 64 hexadecimal digits") }
}

/// A slug such as `raspberrypi4-64`.
pub(super) fn slug(text: &str) -> Checked<String> {
    let plain = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain { Ok(text.to_owned()) } else { expected("a slug of letters, digits, '-', '_' and '.'") }
}

/// Base URL of a service over http or https, returned without a trailing slash.
pub(super) fn base_url(text: &str) -> Checked<String> {
    const WHAT: &str = "an http:// or https:// URL without query, fragment and credentials";
    let Ok(url) = text.trim().parse::<reqwest::Url>() else { return expected(WHAT) };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if plain && http && text.len() <= LONGEST_TEXT_BYTES {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        expected(WHAT)
    }
}

/// A registry: host name or address with an optional port.
pub(super) fn registry_host(text: &str) -> Checked<String> {
    let url = format!("https://{text}").parse::<reqwest::Url>();
    let plain = !text.contains(['/', '@', '?', '#', '\\']) && text.bytes().all(|b| b.is_ascii_graphic());
    let fits = url.is_ok_and(|url| url.has_host()) && plain && text.len() <= LONGEST_TEXT_BYTES;
    if fits { Ok(text.to_ascii_lowercase()) } else { expected("a host with an optional port, such as registry2.example.com") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_trailing_slash_and_nothing_else_gets_in() {
        for (text, url) in [
            ("https://api.example.com", "https://api.example.com"),
            (" https://api.example.com/ ", "https://api.example.com"),
            ("http://10.0.0.1:8080/base/", "http://10.0.0.1:8080/base"),
            ("http://[::1]:80/", "http://[::1]"),
        ] {
            assert_eq!(base_url(text), Ok(url.to_owned()), "{text}");
        }
        for text in ["", "api.example.com", "ftp://x", "https://", "https://u:p@x", "https://x/?q", "https://x/#f", "file:///x"] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_addresses_and_hosts() {
        assert!(absolute_path("/data").is_ok());
        for text in ["", "data", "./data", "/data/../etc", "/da\0ta"] {
            assert!(absolute_path(text).is_err(), "{text}");
        }
        assert!(engine_address("sim:").is_ok() && engine_address("unix:///run/x.sock").is_ok());
        for text in ["", "unix://run", "tcp://1.2.3.4:2375", "/var/run/docker.sock"] {
            assert!(engine_address(text).is_err(), "{text}");
        }
        assert!(listen_address("[::1]:80").is_ok() && listen_address("48484").is_err());
        assert_eq!(registry_host("R.example.com:5000"), Ok("r.example.com:5000".to_owned()));
        for text in ["", "https://r", "r/x", "r:x", "a b"] {
            assert!(registry_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_go_into_urls() {
        assert!(uuid(&"a1".repeat(16)).is_ok() && uuid(&"a1".repeat(32)).is_ok());
        for text in [String::new(), "a".repeat(31), "a".repeat(65), format!("{}/..", "a".repeat(32))] {
            assert!(uuid(&text).is_err(), "{text}");
        }
        assert!(token("k\r\nX: y").is_err() && token("").is_err() && token("d0a1").is_ok());
        assert!(slug("raspberrypi4-64").is_ok() && slug("a/b").is_err());
    }

    #[test]
    fn durations_stay_within_their_bounds() {
        let check = duration_between(Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(check("1m"), Ok(Duration::from_secs(60)));
        assert!(check("999").is_err() && check("61s").is_err());
        assert!(check("x").unwrap_err().ends_with("from 1s to 1m"));
    }
}
