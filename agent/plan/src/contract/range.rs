//! Ranges of versions as contracts write them (node's semver), read with the `semver` crate.
//!
//! What differs is translated: `||` between alternatives, spaces between comparators, hyphen ranges, and a bare version,
//! which means exactly that one.

use semver::{Comparator, Op, Version, VersionReq};

/// Reads a range; `None` when it is not one.
pub(super) fn parse(range: &str) -> Option<Vec<VersionReq>> {
    range.split("||").map(|alternative| one(alternative.trim())).collect()
}

/// Whether a version lies in a range. Pre-releases and build parts of the device's own version do not count against it:
/// OS versions carry them.
pub(super) fn includes(range: &str, version: &str) -> bool {
    let Some(version) = lenient(version) else { return false };
    parse(range).is_some_and(|alternatives| alternatives.iter().any(|requirement| requirement.matches(&version)))
}

fn one(text: &str) -> Option<VersionReq> {
    if matches!(text, "" | "*" | "x" | "X" | "latest") {
        return Some(VersionReq::STAR);
    }
    if let Some((from, to)) = text.split_once(" - ") {
        return VersionReq::parse(&format!(">={}, <={}", from.trim(), to.trim())).ok();
    }
    let mut comparators = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        // An operator may stand apart from its version.
        let operator_alone = word.chars().all(|c| "<>=^~".contains(c));
        let whole = if operator_alone { format!("{word}{}", words.next()?) } else { word.to_owned() };
        comparators.push(comparator(&whole)?);
    }
    Some(VersionReq { comparators })
}

fn comparator(text: &str) -> Option<Comparator> {
    let text = text.trim_end_matches(',');
    let bare = text.starts_with(|c: char| c.is_ascii_digit() || c == 'v');
    let mut comparator = Comparator::parse(text.trim_start_matches('v')).ok()?;
    if bare && comparator.op == Op::Caret {
        comparator.op = Op::Exact;
    }
    Some(comparator)
}

/// Reads a version with as many numbers as it has: `5.15` is 5.15.0.
fn lenient(text: &str) -> Option<Version> {
    let numbers = text.trim().trim_start_matches('v').split(['-', '+', ' ']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse::<u64>().ok());
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let patch = parts.next().unwrap_or(Some(0))?;
    Some(Version::new(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_contracts_write_them() {
        for (range, version, inside) in [
            (">=2.5.0", "2.5.0", true),
            (">= 2.5.0 < 3", "2.98.33+rev1", true),
            (">=2.5.0 <2.6", "2.98.33", false),
            ("1.2.3", "1.2.4", false),
            ("1.2", "1.2.9", true),
            ("^1.2 || ^2.0", "2.7.1", true),
            ("~5.10", "5.15.3", false),
            ("1.0.0 - 2.0.0", "1.5.0", true),
            ("*", "7", true),
            ("5.x", "5.4.1", true),
            (">=32.4", "32.7.1", true),
        ] {
            assert_eq!(includes(range, version), inside, "{version} in {range}");
        }
        for wrong in ["soon", ">=", "1.2.3.4 || x.y"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
