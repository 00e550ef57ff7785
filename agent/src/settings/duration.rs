//! Durations as people write them.

use std::time::Duration;

/// What a duration looks like, for error messages.
pub const FORM: &str = "a duration such as 500ms, 10s, 15m, 1h30m or 7d (a bare number is milliseconds)";

/// Units from long to short, with their length in ms.
const UNITS_MS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: a bare number of milliseconds, or numbers with the units `d h m s ms`, longest first, each at most
/// once.
///
/// # Errors
/// Says what a duration looks like ([`FORM`]) when the text is none, or does not fit into 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    milliseconds(text.trim()).map(Duration::from_millis).ok_or_else(|| FORM.to_owned())
}

fn milliseconds(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (mut rest, mut total, mut units) = (text, 0_u64, UNITS_MS.as_slice());
    while !rest.is_empty() {
        let (number, after) = split(rest, |b| b.is_ascii_digit());
        let (unit, after) = split(after, |b| b.is_ascii_alphabetic());
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(units[at].1)?;
        total = total.checked_add(part)?;
        units = &units[at + 1..];
        rest = after;
    }
    Some(total)
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !belongs(b)).unwrap_or(text.len()))
}

/// Writes a duration the way [`parse_duration`] reads it, for messages.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, ms) in UNITS_MS {
        if rest >= ms {
            text.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    if text.is_empty() { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms() {
        for (text, ms) in [
            ("0", 0),
            ("900000", 900_000),
            ("500ms", 500),
            ("10s", 10_000),
            (" 15m ", 900_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in
            ["", "m", "15 m", "15x", "-1", "1.5h", "30m1h", "1m1m", "1h30", "99999999999999999999", "999999999999999d", "1ä"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn written_as_read() {
        for text in ["15m", "1h30m", "7d", "500ms", "0"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }
}
