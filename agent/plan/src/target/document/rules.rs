//! The rules of protocol §3.3 for names and texts.

use serde_json::Value;

use crate::target::reading::{Field, Findings, expected, unsigned};

/// The longest text and the longest key, in characters.
pub const LONGEST: usize = 255;

/// Whether a text is not too long.
pub fn is_short(text: &str) -> bool {
    text.len() <= LONGEST || text.chars().count() <= LONGEST
}

/// Names of services, volumes and networks: `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`.
pub fn is_name(key: &str) -> bool {
    let starts = key.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    starts && is_short(key) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Names of environment variables: `^[a-zA-Z_][a-zA-Z0-9_]*$`.
pub fn is_variable(key: &str) -> bool {
    is_identifier(key, b"_")
}

/// Names of configuration variables: `^[a-zA-Z_][a-zA-Z0-9_:]*$`.
pub fn is_config_variable(key: &str) -> bool {
    is_identifier(key, b"_:")
}

/// Names of labels: `^[!#-&(-_a-~]+$`, which is printable ASCII without space, quotes and backtick.
pub fn is_label(key: &str) -> bool {
    !key.is_empty() && is_short(key) && key.bytes().all(|b| matches!(b, b'!' | b'#'..=b'&' | b'('..=b'_' | b'a'..=b'~'))
}

fn is_identifier(key: &str, also: &[u8]) -> bool {
    let starts = key.as_bytes().first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    starts && is_short(key) && key.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

/// Says that a required member is missing or `null`.
pub fn missing(parent: &Field<'_>, key: &str, wanted: &str, findings: &mut Findings) {
    findings.refuse_at(|| parent.path_of(key), format!("expected {wanted}, found nothing"));
}

/// A required whole number that is not negative.
pub fn id(parent: &Field<'_>, key: &str, findings: &mut Findings) -> Option<u64> {
    let Some(field) = parent.get(key) else {
        missing(parent, key, "a whole number", findings);
        return None;
    };
    let id = unsigned(field.value);
    if id.is_none() {
        findings.refuse(&field, expected("a whole number that is not negative", field.value));
    }
    id
}

/// A required text of bounded length.
pub fn short_text<'a>(parent: &'a Field<'a>, key: &'a str, findings: &mut Findings) -> Option<&'a str> {
    let Some(field) = parent.get(key) else {
        missing(parent, key, "a string", findings);
        return None;
    };
    check_short_text(&field, findings)
}

/// A text of bounded length.
pub fn check_short_text<'a>(field: &Field<'a>, findings: &mut Findings) -> Option<&'a str> {
    let value: &'a Value = field.value;
    match value.as_str() {
        Some(text) if is_short(text) => return Some(text),
        Some(_) => findings.refuse(field, format!("it is longer than {LONGEST} characters")),
        None => findings.refuse(field, expected("a string", value)),
    }
    None
}

/// An optional boolean.
pub fn flag(parent: &Field<'_>, key: &str, findings: &mut Findings) -> Option<bool> {
    let field = parent.get(key)?;
    let flag = field.value.as_bool();
    if flag.is_none() {
        findings.refuse(&field, expected("true or false", field.value));
    }
    flag
}

/// An optional object, for reading its members; anything else is refused.
pub fn object<'a>(parent: &'a Field<'a>, key: &'a str, findings: &mut Findings) -> Option<Field<'a>> {
    let field = parent.get(key)?;
    if field.value.is_object() {
        return Some(field);
    }
    findings.refuse(&field, expected("an object", field.value));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (key, name, variable, config, label) in [
            ("main", true, true, true, true),
            ("0main", true, false, false, true),
            ("a-b.c", true, false, false, true),
            ("_a", false, true, true, true),
            ("A:B", false, false, true, true),
            ("io.x/y", false, false, false, true),
            ("a b", false, false, false, false),
            ("a'b", false, false, false, false),
            ("a\"b", false, false, false, false),
            ("a`b", false, false, false, false),
            ("é", false, false, false, false),
            ("", false, false, false, false),
            ("a\n", false, false, false, false),
        ] {
            let read = (is_name(key), is_variable(key), is_config_variable(key), is_label(key));
            assert_eq!(read, (name, variable, config, label), "{key:?}");
        }
        let (longest, longer) = ("a".repeat(255), "a".repeat(256));
        assert!(is_name(&longest) && !is_name(&longer) && !is_label(&longer) && !is_variable(&longer));
        assert!(is_short(&"é".repeat(255)) && !is_short(&"é".repeat(256)));
    }
}
