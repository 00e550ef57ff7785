//! Values as they are written in device variables (behaviour §11), checked before anything is written.

/// The values of a list: one raw value, or JSON strings with commas between them.
pub(super) fn list(raw: &str) -> Result<Vec<String>, String> {
    let raw = raw.trim();
    if !raw.starts_with('"') {
        return Ok(vec![raw.to_owned()]);
    }
    serde_json::from_str::<Vec<String>>(&format!("[{raw}]"))
        .map(|values| values.iter().map(|value| value.trim().to_owned()).collect())
        .map_err(|_| "expected one value, or JSON strings with commas between them".to_owned())
}

/// A value that stays within its line.
pub(super) fn one_line(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        Err("a control character or line break cannot be written".to_owned())
    } else {
        Ok(())
    }
}

/// A value that is one word.
pub(super) fn one_word(value: &str) -> Result<(), String> {
    one_line(value)?;
    if value.is_empty() || value.contains(char::is_whitespace) {
        return Err("expected one word without blanks".to_owned());
    }
    Ok(())
}

/// A key that is one: nothing in it may end it, open a section or begin a comment.
pub(super) fn key(key: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if key.is_empty() || !key.chars().all(plain) { Err("this is no key that can be written".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(list("i2c-rtc,ds1307").unwrap(), ["i2c-rtc,ds1307"]);
        assert_eq!(list(r#""a,b=1", "c""#).unwrap(), ["a,b=1", "c"]);
        assert!(list(r#""a", b"#).is_err());
    }

    #[test]
    fn nothing_escapes_its_line() {
        assert!(one_line("1\nkernel=evil").is_err());
        assert!(one_line("1\rx").is_err());
        for bad in ["", "a=b", "[pi4]", "#x", "a b", "a\nb"] {
            assert!(key(bad).is_err(), "{bad}");
        }
        assert!(key("hdmi_mode:1").is_ok());
        assert!(one_word("1,3").is_ok() && one_word("1 3").is_err());
    }
}
