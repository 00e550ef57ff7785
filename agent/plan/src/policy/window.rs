//! Weekly time windows, for example `Mon-Fri 22:00-05:00, Sun 00:00-24:00`, in the device's local time.

use std::str::FromStr;

/// Minutes of a day and of a week.
const DAY_MIN: i64 = 24 * 60;
const WEEK_MIN: i64 = 7 * DAY_MIN;

/// The most windows one variable may hold.
const MAX_WINDOWS: usize = 64;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One stretch of the week: minutes since Monday 00:00 local time, and its length. It may reach over the week's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    start_min: i64,
    length_min: i64,
}

/// Several windows of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window>);

/// Where a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Inside a window, which ends at this time (seconds since 1970).
    OpenUntil(i64),
    /// Outside; the next one opens at this time (seconds since 1970).
    ClosedUntil(i64),
}

impl Windows {
    /// Where `unix_s` lies. `offset_s` gives the local time's distance from UTC, seconds, at a moment.
    pub fn opening(&self, unix_s: i64, offset_s: impl Fn(i64) -> i64) -> Opening {
        let local_min = (unix_s + offset_s(unix_s)).div_euclid(60);
        // 1970-01-01 was a Thursday.
        let week_min = (local_min + 3 * DAY_MIN).rem_euclid(WEEK_MIN);
        let to_unix = |minutes_ahead: i64| {
            let local_s = (local_min + minutes_ahead) * 60;
            let guess = local_s - offset_s(unix_s);
            // The clocks may be changed in between: use the offset in force then.
            local_s - offset_s(guess)
        };
        let into = |window: &Window| (week_min - window.start_min).rem_euclid(WEEK_MIN);
        let open =
            self.0.iter().filter(|window| into(window) < window.length_min).map(|window| window.length_min - into(window)).max();
        match open {
            Some(left_min) => Opening::OpenUntil(to_unix(left_min)),
            None => {
                let wait = self.0.iter().map(|window| WEEK_MIN - into(window)).min().unwrap_or(WEEK_MIN);
                Opening::ClosedUntil(to_unix(wait))
            }
        }
    }
}

impl FromStr for Windows {
    type Err = String;

    /// Reads windows separated by commas or semicolons: `[day[-day] ]HH:MM-HH:MM`. Without days every day is meant; an end
    /// at or before the start is on the next day.
    fn from_str(text: &str) -> Result<Windows, String> {
        let parts: Vec<&str> = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() || parts.len() > MAX_WINDOWS {
            return Err(format!("expected 1 to {MAX_WINDOWS} windows such as \"Mon-Fri 22:00-05:00\""));
        }
        let mut windows = Vec::new();
        for part in parts {
            one(part, &mut windows)
                .map_err(|what| format!("\"{part}\": {what}, expected for example \"Mon-Fri 22:00-05:00\""))?;
        }
        Ok(Windows(windows))
    }
}

fn one(part: &str, windows: &mut Vec<Window>) -> Result<(), String> {
    let (days, hours) = match part.rsplit_once(char::is_whitespace) {
        Some((days, hours)) => (days_of(days.trim())?, hours),
        None => ((0..7).collect(), part),
    };
    let (from, to) = hours.split_once('-').ok_or("no hours")?;
    let (from, to) = (minute(from)?, minute(to)?);
    let length_min = if to > from { to - from } else { to + DAY_MIN - from };
    windows.extend(days.into_iter().map(|day| Window { start_min: day * DAY_MIN + from, length_min }));
    Ok(())
}

fn days_of(text: &str) -> Result<Vec<i64>, String> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let known = |day: &str| name.len() >= 3 && (name == day || (name.starts_with(day) && name.ends_with("day")));
        DAYS.iter().position(|day| known(day)).map(|index| index as i64).ok_or_else(|| format!("\"{name}\" is not a day"))
    };
    match text.split_once('-') {
        None => Ok(vec![day(text)?]),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            Ok((0..=(last - first).rem_euclid(7)).map(|ahead| (first + ahead) % 7).collect())
        }
    }
}

fn minute(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is not a time of day");
    let (hours, minutes) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number =
        |digits: &str| digits.parse::<i64>().ok().filter(|_| digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit()));
    let (hours, minutes) = (number(hours).ok_or_else(wrong)?, number(minutes).ok_or_else(wrong)?);
    let total = hours * 60 + minutes;
    if minutes > 59 || total > DAY_MIN { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2026-11-16 00:00 UTC.
    const MONDAY: i64 = 1_794_787_200;
    const HOUR: i64 = 3600;

    fn opening(text: &str, hours: i64, offset: i64) -> Opening {
        text.parse::<Windows>().unwrap().opening(MONDAY + hours * HOUR, |_| offset)
    }

    #[test]
    fn over_midnight_and_over_the_week_end() {
        let nights = "Mon-Fri 22:00-05:00";
        assert_eq!(opening(nights, 12, 0), Opening::ClosedUntil(MONDAY + 22 * HOUR));
        assert_eq!(opening(nights, 23, 0), Opening::OpenUntil(MONDAY + 29 * HOUR));
        assert_eq!(opening(nights, 4, 0), Opening::ClosedUntil(MONDAY + 22 * HOUR), "Sunday's night is not in it");
        assert_eq!(opening("Sun 22:00-05:00", 4, 0), Opening::OpenUntil(MONDAY + 5 * HOUR));
        assert_eq!(opening("Fri-Mon 01:00-02:00", 24 * 2, 0), Opening::ClosedUntil(MONDAY + (4 * 24 + 1) * HOUR));
        assert_eq!(opening("00:00-24:00", 9, 0), Opening::OpenUntil(MONDAY + 24 * HOUR));
        assert_eq!(opening("Monday 10:00-11:00, 14:00-15:00", 12, 0), Opening::ClosedUntil(MONDAY + 14 * HOUR));
    }

    #[test]
    fn local_time_counts() {
        assert_eq!(opening("22:00-23:00", 21, HOUR), Opening::OpenUntil(MONDAY + 22 * HOUR));
        // The clocks go back an hour in between: 22:00 local comes an hour later than today's offset would say.
        let windows: Windows = "22:00-23:00".parse().unwrap();
        let change = MONDAY + 12 * HOUR;
        let offset = |at: i64| if at < change { 2 * HOUR } else { HOUR };
        assert_eq!(windows.opening(MONDAY + 6 * HOUR, offset), Opening::ClosedUntil(MONDAY + 21 * HOUR));
    }

    #[test]
    fn wrong_windows_are_refused_with_the_part_that_is_wrong() {
        for text in ["", "soon", "Mon 25:00-26:00", "Mon 10-11", "Xyz 10:00-11:00", "Mon-Fri", "10:60-11:00", "+1:00-02:00"] {
            assert!(text.parse::<Windows>().is_err(), "{text}");
        }
        assert!("Mon 10:00-11:00; Xyz 10:00-11:00".parse::<Windows>().unwrap_err().contains("Xyz"));
    }
}
