//! Values of config.json, decoded as generously as balena does: numbers and booleans may be strings (protocol §10).

use std::time::Duration;

use serde_json::Value;

use super::kinds::Checked;

/// A text, checked further. Empty is absent: that is how balena unsets a key.
pub(super) fn text<T>(check: impl Fn(&str) -> Checked<T>) -> impl Fn(&Value) -> Checked<Option<T>> {
    move |value| match value {
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => check(text).map(Some),
        _ => Err(check("").err().unwrap_or_else(|| "text".to_owned())),
    }
}

/// A whole number within bounds.
pub(super) fn number(least: u64, most: u64) -> impl Fn(&Value) -> Checked<Option<u64>> {
    move |value| {
        let number = match value {
            Value::String(text) if text.is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        fits.map(Some).ok_or_else(|| format!("a whole number from {least} to {most}"))
    }
}

/// A truth value.
pub(super) fn boolean(value: &Value) -> Checked<Option<bool>> {
    let word = match value {
        Value::Bool(truth) => return Ok(Some(*truth)),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        _ => String::from("?"),
    };
    match word.as_str() {
        "1" | "true" | "on" => Ok(Some(true)),
        "0" | "false" | "off" | "" => Ok(Some(false)),
        _ => Err("true or false".to_owned()),
    }
}

/// A duration: milliseconds as a number, or a text as flags take it.
pub(super) fn duration(check: impl Fn(&str) -> Checked<Duration>) -> impl Fn(&Value) -> Checked<Option<Duration>> {
    move |value| match value {
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => check(text).map(Some),
        Value::Number(number) => check(&number.to_string()).map(Some),
        _ => check("").map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{duration_between, token};
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_booleans_may_be_strings() {
        assert_eq!(number(1, 65535)(&json!("48484")), Ok(Some(48484)));
        assert_eq!(number(1, 65535)(&json!(48484)), Ok(Some(48484)));
        assert_eq!(number(1, 65535)(&json!("")), Ok(None));
        for value in [json!(0), json!(65536), json!(-1), json!(1.5), json!("x"), json!([])] {
            assert!(number(1, 65535)(&value).is_err(), "{value}");
        }
        for (value, truth) in
            [(json!(true), true), (json!("TRUE"), true), (json!(1), true), (json!("off"), false), (json!(""), false)]
        {
            assert_eq!(boolean(&value), Ok(Some(truth)), "{value}");
        }
        assert!(boolean(&json!("yes, please")).is_err() && boolean(&json!({})).is_err());
    }

    #[test]
    fn texts_and_durations() {
        assert_eq!(text(token)(&json!("")), Ok(None));
        assert_eq!(text(token)(&json!("abc")), Ok(Some("abc".to_owned())));
        assert!(text(token)(&json!(5)).is_err());
        let within = duration_between(Duration::from_secs(1), Duration::from_secs(3600));
        for value in [json!(60000), json!("60000"), json!("1m")] {
            assert_eq!(duration(within)(&value), Ok(Some(Duration::from_secs(60))), "{value}");
        }
        for value in [json!(10), json!(1000.5), json!(true), json!(-1000)] {
            assert!(duration(within)(&value).is_err(), "{value}");
        }
    }
}
