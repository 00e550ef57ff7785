//! Something the loop needs that does not answer: since when, and when it is asked again.

use std::time::Duration;

use tokio::time::Instant;

/// How patient the loop is: the first wait and the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The first wait; doubled each time.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

/// An outage that lasts.
#[derive(Debug)]
pub(super) struct Outage {
    /// What was said last.
    pub error: String,
    /// Since when, ms since boot.
    pub since_boot_ms: i64,
    /// When it is asked again, unless something else asks for a look.
    pub due: Instant,
    wait: Duration,
}

impl Outage {
    /// It failed once more. A look that came early, because of an event, neither brings the next try forward nor puts it off.
    pub fn again(before: Option<Outage>, error: String, pace: Pace, boot_ms: i64) -> Outage {
        let now = Instant::now();
        match before {
            None => Outage { error, since_boot_ms: boot_ms, due: now + pace.first, wait: pace.first },
            Some(before) if now < before.due => Outage { error, ..before },
            Some(before) => {
                let wait = (before.wait * 2).min(pace.longest);
                Outage { error, due: now + wait, wait, ..before }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_early_looks_do_not_count() {
        let mut outage = None;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let next = Outage::again(outage.take(), "broken".into(), PACE, 5);
            waits.push((next.due - Instant::now()).as_secs());
            let due = next.due;
            let early = Outage::again(Some(next), "still broken".into(), PACE, 6);
            assert_eq!((early.due, early.since_boot_ms, early.error.as_str()), (due, 5, "still broken"));
            outage = Some(early);
            tokio::time::sleep_until(due).await;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
