//! Dates: seconds since 1970 to the calendar and back.

const DAY_MS: i64 = 86_400_000;
const DAYS_IN_400_YEARS: i64 = 146_097;
const DAYS_FROM_YEAR_0_MARCH_TO_1970: i64 = 719_468;

/// Writes ms since 1970 as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(wall_ms: i64) -> String {
    let (year, month, day) = civil(wall_ms.div_euclid(DAY_MS));
    let rest = wall_ms.rem_euclid(DAY_MS);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Writes days since 1970-01-01 as a date.
pub fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so
/// that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
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

/// Seconds since 1970 of a date (year, month, day) and a time of day (hour, minute, second) in UTC. `None` when there is no
/// such moment; a leap second counts as the one before it.
pub fn seconds_of(date: [i64; 3], time: [i64; 3]) -> Option<i64> {
    let ([year, month, day], [hour, minute, second]) = (date, time);
    let within = (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !within || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return None;
    }
    let year_from_march = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let (era, year_of_era) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * DAYS_IN_400_YEARS + day_of_era - DAYS_FROM_YEAR_0_MARCH_TO_1970;
    // A day that its month does not have comes out as another.
    (civil(days) == (year, month, day)).then_some(days * 86_400 + hour * 3600 + minute * 60 + second.min(59))
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
    fn dates_become_seconds_and_those_that_never_were_do_not() {
        for (date, time, seconds) in [
            ([1970, 1, 1], [0, 0, 0], 0),
            ([2000, 2, 29], [0, 0, 1], 951_782_401),
            ([2026, 1, 1], [0, 0, 0], 1_767_225_600),
            ([2026, 2, 28], [23, 59, 60], 1_772_323_199),
            ([1994, 11, 6], [8, 49, 37], 784_111_777),
        ] {
            assert_eq!(seconds_of(date, time), Some(seconds), "{date:?} {time:?}");
        }
        for (date, time) in
            [([2026, 2, 29], [0, 0, 0]), ([2026, 13, 1], [0, 0, 0]), ([2026, 4, 31], [0, 0, 0]), ([2026, 1, 1], [24, 0, 0])]
        {
            assert_eq!(seconds_of(date, time), None, "{date:?} {time:?}");
        }
    }
}
