//! Sizes as compositions write them: `64m`, `1.5gb`, or a plain number of bytes.

use serde_json::Value;

use crate::target::reading::{Section, Weight, integer};

/// Reads a size in bytes; a mistake is named and the default used.
pub fn read(section: &mut Section<'_, '_>, name: &str) -> Option<i64> {
    let field = section.take(name)?;
    let size = bytes(field.value);
    if size.is_none() {
        section.expected(Weight::Name, &field, "a size such as 64m or 1.5g");
    }
    size
}

/// Like [`read`], where -1 means no limit.
pub fn read_or_unlimited(section: &mut Section<'_, '_>, name: &str) -> Option<i64> {
    let field = section.take(name)?;
    let size = integer(field.value).filter(|number| *number == -1).or_else(|| bytes(field.value));
    if size.is_none() {
        section.expected(Weight::Name, &field, "a size such as 64m or 1.5g, or -1");
    }
    size
}

/// A size in bytes: a number with one of the units b, k, m, g, t (with or without a `b` behind it; in any case).
pub fn bytes(value: &Value) -> Option<i64> {
    if let Some(plain) = integer(value) {
        return (plain >= 0).then_some(plain);
    }
    let text = value.as_str()?.trim().to_ascii_lowercase();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let factor = match unit.trim_start() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    scaled(number, factor)
}

/// A decimal number times a factor, rounded down to a whole; exact however many digits there are.
pub(super) fn scaled(number: &str, factor: u64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Beyond fifteen digits a fraction changes nothing that could be counted.
    let fraction = &fraction[..fraction.len().min(15)];
    let shift = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let factor = i128::from(factor);
    i64::try_from(whole.checked_mul(factor)?.checked_add(fraction * factor / shift)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes() {
        for (value, wanted) in [
            (json!("64m"), Some(64 << 20)),
            (json!("64MB"), Some(64 << 20)),
            (json!("1.5g"), Some(3 << 29)),
            (json!(".5k"), Some(512)),
            (json!("100 kb"), Some(102_400)),
            (json!("100b"), Some(100)),
            (json!("1024"), Some(1024)),
            (json!(1024), Some(1024)),
            (json!("0"), Some(0)),
            (json!("1t"), Some(1 << 40)),
            (json!("0.1234567890123456789k"), Some(126)),
            (json!("-1"), None),
            (json!("1.2.3m"), None),
            (json!("m"), None),
            (json!("lots"), None),
            (json!("99999999999999999999g"), None),
            (json!([]), None),
        ] {
            assert_eq!(bytes(&value), wanted, "{value}");
        }
    }
}
