//! What a registry asks for with a 401: a token from somewhere, or user and password.

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A registry's challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token, to be had elsewhere.
    Bearer {
        /// Where.
        realm: Url,
        /// The registry's name there.
        service: Option<String>,
        /// What the token is for.
        scope: Option<String>,
    },
    /// User and password.
    Basic,
}

impl Challenge {
    /// The first challenge of an answer that can be met.
    pub fn of(headers: &HeaderMap) -> Option<Challenge> {
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(parse)
    }
}

fn parse(text: &str) -> Option<Challenge> {
    let text = text.trim();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let get = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    let realm = Url::parse(&get("realm")?).ok()?;
    Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") })
}

/// `key="value", key=value`; a quoted value may hold commas and escaped quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_owned();
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_value(quoted),
            None => {
                let (value, next) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), next)
            }
        };
        found.push((key, value));
        rest = next;
    }
    found
}

/// The value up to its closing quote, and what comes after it.
fn quoted_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let realm = Url::parse(realm).unwrap();
        Some(Challenge::Bearer { realm, service: service.map(str::to_owned), scope: scope.map(str::to_owned) })
    }

    #[test]
    fn challenges_as_registries_write_them() {
        let scope = Some("repository:a/b:pull,push");
        let usual = r#"Bearer realm="https://auth.example.com/token",service="r.io",scope="repository:a/b:pull,push""#;
        assert_eq!(parse(usual), bearer("https://auth.example.com/token", Some("r.io"), scope));
        assert_eq!(
            parse(r#"bearer  Realm="https://a.io/t" , error="x\"y,z", service=r.io"#),
            bearer("https://a.io/t", Some("r.io"), None)
        );
        assert_eq!(parse("Basic realm=\"Registry\""), Some(Challenge::Basic));
        assert_eq!(parse("basic"), Some(Challenge::Basic));
    }

    #[test]
    fn rubbish_is_no_challenge() {
        for text in
            ["", "Bearer", "Bearer realm", "Bearer realm=", r#"Bearer realm="not an address""#, "Negotiate", "Bearer realm=\"\\"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
