//! The engine's timestamps (RFC 3339) as milliseconds and nanoseconds since 1970.

/// Reads a timestamp such as `2026-02-03T04:05:06.789123456+01:00`; `None` when it is not one, or when it is the engine's
/// word for never (year 1).
pub(super) fn unix_ms(text: &str) -> Option<i64> {
    let (seconds, fraction) = parts(text)?;
    Some(seconds * 1000 + digits(fraction, 3))
}

/// The same in nanoseconds; `None` too after the year 2262, which they do not reach.
pub(crate) fn unix_ns(text: &str) -> Option<i64> {
    let (seconds, fraction) = parts(text)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(digits(fraction, 9))
}

/// Seconds since 1970, and the digits of the fraction.
fn parts(text: &str) -> Option<(i64, &str)> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !valid || !(2..=9999).contains(&year) {
        return None;
    }
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset_s(zone)?;
    fraction.bytes().all(|b| b.is_ascii_digit()).then_some((seconds, fraction))
}

/// Three numbers between separators.
fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u32>().ok().map(i64::from));
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// `Z` or `±hh:mm` in seconds east.
fn offset_s(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours < 24 && minutes < 60).then(|| sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
}

/// So many digits of a fraction.
fn digits(fraction: &str, most: usize) -> i64 {
    fraction.bytes().chain(std::iter::repeat(b'0')).take(most).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in 400-year eras of years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-21T07:54:00.123456789Z", 1_795_247_640_123),
            ("2026-11-21T06:54:00.1-01:00", 1_795_247_640_100),
        ] {
            assert_eq!(unix_ms(text), Some(ms), "{text}");
            assert_eq!(unix_ns(text).map(|ns| ns.div_euclid(1_000_000)), Some(ms), "{text}");
        }
        assert_eq!(unix_ns("2026-11-21T07:54:00.123456789Z"), Some(1_795_247_640_123_456_789));
        assert_eq!(unix_ns("9999-12-31T23:59:59Z"), None);
    }

    #[test]
    fn never_and_nonsense_are_none() {
        for text in ["0001-01-01T00:00:00Z", "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00Z"]
        {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }
}
