//! How long to wait after a failure. The only file that knows the crate `backoff`: its own randomisation cannot be
//! seeded and is switched off, the random part is drawn from our own source.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

/// The first wait of the poll and the report (protocol §5); it doubles with every further failure.
const FIRST: Duration = Duration::from_secs(15);

/// A cloud that asks for more patience than this is asked again all the same.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Up to this part of a wait is added at random, so that a fleet that failed together does not come back together.
const SPREAD_DIVISOR: u64 = 10;

/// Waits between attempts: `min(first · 2^n, longest)`, or what the cloud asks for, plus up to a tenth.
#[derive(Debug)]
pub struct Retry {
    backoff: backoff::ExponentialBackoff,
    first: Duration,
    longest: Duration,
    failures: u32,
    rng: fastrand::Rng,
}

impl Retry {
    /// Starts without a failure, for calls whose first wait is 15 s. `longest` bounds the doubling.
    pub fn new(longest: Duration, rng: fastrand::Rng) -> Retry {
        Retry::starting_with(FIRST, longest, rng)
    }

    /// The same with another first wait.
    pub fn starting_with(first: Duration, longest: Duration, rng: fastrand::Rng) -> Retry {
        Retry { backoff: doubling(first, longest), first, longest, failures: 0, rng }
    }

    /// Takes over another bound; the doubling begins anew when it differs.
    pub fn set_longest(&mut self, longest: Duration) {
        if longest != self.longest {
            self.backoff = doubling(self.first, longest);
            self.longest = longest;
        }
    }

    /// Counts a failure and says how long to wait now. `retry_after` is what the cloud asked for: it replaces the doubling
    /// and is bounded by [`LONGEST_RETRY_AFTER`].
    pub fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = self.backoff.next_backoff().unwrap_or(self.longest);
        let wait = retry_after.map_or(doubled, |asked| asked.min(LONGEST_RETRY_AFTER));
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
        Duration::from_millis(wait_ms + self.rng.u64(0..=wait_ms / SPREAD_DIVISOR))
    }

    /// Counts a success: the next failure waits the first wait again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

fn doubling(first: Duration, longest: Duration) -> backoff::ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(first.min(longest))
        .with_max_interval(longest)
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build()
}

/// Reads a `Retry-After` header in its form of seconds. Its form of a date is not followed: a device's clock may be wrong
/// by years.
pub(super) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within_a_tenth(wait: Duration, seconds: u64) -> bool {
        let least = Duration::from_secs(seconds);
        wait >= least && wait <= least + least / 10
    }

    #[test]
    fn waits_double_up_to_the_bound_and_start_anew_after_a_success() {
        let mut retry = Retry::new(Duration::from_secs(100), fastrand::Rng::with_seed(1));
        for seconds in [15, 30, 60, 100, 100] {
            let wait = retry.failed(None);
            assert!(within_a_tenth(wait, seconds), "{wait:?} for {seconds} s");
        }
        assert_eq!(retry.failures(), 5);
        retry.succeeded();
        assert_eq!(retry.failures(), 0);
        assert!(within_a_tenth(retry.failed(None), 15));
    }

    #[test]
    fn the_first_wait_is_never_longer_than_the_bound() {
        let mut retry = Retry::new(Duration::from_secs(2), fastrand::Rng::with_seed(1));
        assert!(within_a_tenth(retry.failed(None), 2));
    }

    #[test]
    fn the_first_wait_may_be_another() {
        let mut retry = Retry::starting_with(Duration::from_secs(5), Duration::from_secs(300), fastrand::Rng::with_seed(1));
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            let wait = retry.failed(None);
            assert!(within_a_tenth(wait, seconds), "{wait:?} for {seconds} s");
        }
    }

    #[test]
    fn what_the_cloud_asks_for_wins_within_a_day() {
        let mut retry = Retry::new(Duration::from_secs(900), fastrand::Rng::with_seed(1));
        assert!(within_a_tenth(retry.failed(Some(Duration::from_secs(3))), 3));
        assert!(within_a_tenth(retry.failed(Some(Duration::from_secs(3600))), 3600));
        assert!(within_a_tenth(retry.failed(Some(Duration::MAX)), 86_400));
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let sequence = |seed| {
            let mut retry = Retry::new(Duration::from_secs(900), fastrand::Rng::with_seed(seed));
            (0..5).map(|_| retry.failed(None)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn retry_after_is_seconds_and_dates_are_not_followed() {
        for (value, expected) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("-1", None),
            ("99999999", Some(86_400)),
        ] {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert(reqwest::header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }
}
