//! Durations as compositions write them: `1m30s`, `1.5h`, `500ms`.

use serde_json::Value;

const UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", NS_PER_S),
    ("m", 60 * NS_PER_S),
    ("h", 3_600 * NS_PER_S),
    ("d", 86_400 * NS_PER_S),
    ("w", 604_800 * NS_PER_S),
];

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// What a duration looks like, for messages.
pub const FORM: &str = "a duration such as 1m30s";

/// Reads a duration in nanoseconds. A number without a unit is not one, save for zero.
pub fn nanoseconds(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => parse(text.trim()),
        Value::Number(number) if number.as_f64() == Some(0.0) => Some(0),
        _ => None,
    }
}

/// Reads a duration in whole seconds, rounded up; a bare number is seconds.
pub fn seconds(value: &Value) -> Option<i64> {
    if let Some(seconds) = crate::target::reading::unsigned(value) {
        return i64::try_from(seconds).ok();
    }
    nanoseconds(value).map(|ns| ns.div_euclid(NS_PER_S as i64) + i64::from(ns % NS_PER_S as i64 != 0))
}

fn parse(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(super::sizes::scaled(number, factor)?)?;
        rest = tail.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations() {
        for (text, wanted) in [
            ("30s", Some(30_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1h 5m", Some(3_900_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("500ms", Some(500_000_000)),
            ("10us", Some(10_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("-1s", None),
            ("1..5s", None),
            ("999999999999w", None),
        ] {
            assert_eq!(nanoseconds(&json!(text)), wanted, "{text}");
        }
    }

    #[test]
    fn grace_periods_are_whole_seconds() {
        for (value, wanted) in [
            (json!("1m"), Some(60)),
            (json!("500ms"), Some(1)),
            (json!(20), Some(20)),
            (json!("20"), Some(20)),
            (json!("soon"), None),
            (json!(-1), None),
        ] {
            assert_eq!(seconds(&value), wanted, "{value}");
        }
    }
}
