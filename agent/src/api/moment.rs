//! Points in time as answers carry them: relative always, as a date where the clock can be trusted.

use holdfast_plan::policy::Now;
use serde::Serialize;

use super::reading::read_by_field;

/// A moment that has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ago {
    /// How long ago, ms.
    pub ago_ms: i64,
    /// When, RFC 3339 in UTC, if the clock is trusted.
    pub utc: Option<String>,
}

read_by_field!(Ago { ago_ms, utc });

/// A moment to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ahead {
    /// How long from now, ms; 0 when it is due.
    pub in_ms: i64,
    /// When, RFC 3339 in UTC, if the clock is trusted.
    pub utc: Option<String>,
}

read_by_field!(Ahead { in_ms, utc });

impl Ago {
    /// From a time since boot, ms.
    pub fn from_boot(boot_ms: i64, now: Now) -> Ago {
        let ago_ms = now.boot_ms.saturating_sub(boot_ms).max(0);
        Ago { ago_ms, utc: now.wall_ms.map(|wall| rfc3339(wall.saturating_sub(ago_ms))) }
    }

    /// From a wall clock time, ms since 1970. `None` while this device's clock is not trusted: it could only mislead.
    pub fn from_wall(wall_ms: i64, now: Now) -> Option<Ago> {
        now.wall_ms.map(|wall| Ago { ago_ms: wall.saturating_sub(wall_ms).max(0), utc: Some(rfc3339(wall_ms)) })
    }
}

impl Ahead {
    /// From a time since boot, ms.
    pub fn from_boot(boot_ms: i64, now: Now) -> Ahead {
        let in_ms = boot_ms.saturating_sub(now.boot_ms).max(0);
        Ahead { in_ms, utc: now.wall_ms.map(|wall| rfc3339(wall.saturating_add(in_ms))) }
    }

    /// From a wall clock time, ms since 1970. `None` while this device's clock is not trusted.
    pub fn from_wall(wall_ms: i64, now: Now) -> Option<Ahead> {
        now.wall_ms.map(|wall| Ahead { in_ms: wall_ms.saturating_sub(wall).max(0), utc: Some(rfc3339(wall_ms)) })
    }
}

const DAY_MS: i64 = 86_400_000;

/// Writes ms since 1970 as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(wall_ms: i64) -> String {
    let (year, month, day) = civil(wall_ms.div_euclid(DAY_MS));
    let rest = wall_ms.rem_euclid(DAY_MS);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Writes days since 1970-01-01 as a date.
pub(super) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so
/// that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    const DAYS_FROM_YEAR_0_MARCH_TO_1970: i64 = 719_468;
    let days = days + DAYS_FROM_YEAR_0_MARCH_TO_1970;
    let era = days.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_their_edges() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (1_772_323_199_250, "2026-02-28T23:59:59.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
        // Whatever stands in a file's times: no panic.
        let _ = (rfc3339(i64::MIN), rfc3339(i64::MAX));
    }

    #[test]
    fn an_untrusted_clock_gives_no_dates() {
        let lost = Now { wall_ms: None, machine_ms: 0, boot_ms: 5_000 };
        assert_eq!(Ago::from_boot(2_000, lost), Ago { ago_ms: 3_000, utc: None });
        assert_eq!(Ago::from_wall(1, lost), None);
        let known = Now { wall_ms: Some(1_767_225_600_000), machine_ms: 0, boot_ms: 5_000 };
        assert_eq!(Ahead::from_boot(6_000, known).utc.as_deref(), Some("2026-01-01T00:00:01.000Z"));
        assert_eq!(Ahead::from_boot(1_000, known).in_ms, 0);
    }
}
