//! Names that become part of a request's path.

use crate::engine::{EngineError, Result};

/// Lets a name into a path only when it cannot lead the request to another object than the one it names: names come from
/// targets, and `a/../../volumes/5_data` would.
pub(super) fn checked<'a>(object: &str, name: &'a str) -> Result<&'a str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+=".contains(c);
    let leads_away = name.starts_with('/') || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if name.is_empty() || leads_away || !name.chars().all(is_plain) {
        let message = format!("\"{name}\" is not a name the engine can be asked for, nothing was done");
        return Err(EngineError::Failed { object: object.to_owned(), message });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for name in ["0123abcdef", "localhost:5000/v2/ab:1", "r.example/v2/ab@sha256:00", "5_data", "u_default", "a.b-c"] {
            assert!(checked("x", name).is_ok(), "{name}");
        }
        for name in ["", "a/../../volumes/5_data", "../x", "a//b", "/a", "a/", "a?force=1", "a#b", "a%2e", "a b", "a\\b", "ä"] {
            assert!(checked("x", name).is_err(), "{name}");
        }
    }
}
