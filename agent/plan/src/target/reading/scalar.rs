//! Single values, read as generously as compositions in the wild need: a numeric string is the number (behaviour §4.1).

use std::borrow::Cow;

use serde_json::{Number, Value};

/// Whole numbers above this are no longer exact where they come from.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What kind of value stands there, for messages. Never the value itself: it may be a secret.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A string.
pub fn string(value: &Value) -> Option<&str> {
    value.as_str()
}

/// A string, number or boolean as text.
pub fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(whole(number).map_or_else(|| number.to_string(), |whole| whole.to_string()))),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}

/// `true`, `false`, or one of these as text.
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A whole number, or a string that holds one.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => whole(number),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A whole number that is not negative, or a string that holds one.
pub fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number)?.try_into().ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_numeric_strings() {
        for (value, signed, positive) in [
            (json!(5), Some(5), Some(5)),
            (json!("5"), Some(5), Some(5)),
            (json!(5.0), Some(5), Some(5)),
            (json!(-1), Some(-1), None),
            (json!("-1"), Some(-1), None),
            (json!(1.5), None, None),
            (json!(1e300), None, None),
            (json!("x"), None, None),
            (json!(""), None, None),
            (json!(null), None, None),
            (json!(u64::MAX), None, Some(u64::MAX)),
        ] {
            assert_eq!((integer(&value), unsigned(&value)), (signed, positive), "{value}");
        }
    }

    #[test]
    fn scalars_as_text() {
        for (value, wanted) in [
            (json!("a"), Some("a")),
            (json!(1), Some("1")),
            (json!(1.0), Some("1")),
            (json!(1.5), Some("1.5")),
            (json!(true), Some("true")),
            (json!([]), None),
        ] {
            assert_eq!(text(&value).as_deref(), wanted, "{value}");
        }
    }
}
