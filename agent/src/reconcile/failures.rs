//! When a failed step is tried again (behaviour §2.2: 500 ms, doubled each time, up to the poll interval).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_plan::memory::Failure;
use holdfast_plan::plan::{Plan, Reason};

/// The first wait is twice this.
const BASE_MS: i64 = 500;

/// What went wrong.
pub(super) struct Cause {
    /// The cause chain, one line.
    pub error: String,
    /// Whether the disk had no room.
    pub no_space: bool,
}

/// Records one more failure of a step.
pub(super) fn record(failures: &mut BTreeMap<String, Failure>, key: &str, cause: Cause, now_boot_ms: i64, max: Duration) {
    let count = failures.get(key).map_or(0, |failure| failure.count).saturating_add(1);
    let wait = (BASE_MS << count.min(32)).min(i64::try_from(max.as_millis()).unwrap_or(i64::MAX));
    let Cause { error, no_space } = cause;
    failures.insert(key.to_owned(), Failure { error, count, retry_boot_ms: now_boot_ms + wait, no_space });
}

/// Records a failure of a step that only tidies up: it is left alone for a time that does not grow.
pub(super) fn leave(failures: &mut BTreeMap<String, Failure>, key: &str, cause: Cause, now_boot_ms: i64, wait: Duration) {
    let count = failures.get(key).map_or(0, |failure| failure.count).saturating_add(1);
    let retry_boot_ms = now_boot_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let Cause { error, no_space } = cause;
    failures.insert(key.to_owned(), Failure { error, count, retry_boot_ms, no_space });
}

/// Room was made: what had none is tried again at once.
pub(super) fn room_was_made(failures: &mut BTreeMap<String, Failure>) {
    failures.values_mut().filter(|failure| failure.no_space).for_each(|failure| failure.retry_boot_ms = 0);
}

/// Forgets failures of steps that the plan no longer wants, so that the record cannot grow. Failures the plan still
/// waits out stay; so do those of steps that are being tried again, and of those whose turn has not come.
pub(super) fn prune(failures: &mut BTreeMap<String, Failure>, plan: &Plan, now_boot_ms: i64, in_flight: impl Fn(&str) -> bool) {
    if failures.is_empty() {
        return;
    }
    let waiting = plan.waiting.iter().any(|wait| matches!(wait.reason, Reason::Retry { .. } | Reason::LeftForNow { .. }));
    let steps = plan.steps.iter().map(holdfast_plan::plan::Step::key);
    let wanted: BTreeSet<String> = steps.chain(plan.postponed.iter().cloned()).collect();
    failures.retain(|key, failure| (waiting && failure.retry_boot_ms > now_boot_ms) || in_flight(key) || wanted.contains(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(no_space: bool) -> Cause {
        Cause { error: "broken".into(), no_space }
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        let mut failures = BTreeMap::new();
        let waits: Vec<i64> = (0..8)
            .map(|_| {
                record(&mut failures, "x", broken(false), 1_000, Duration::from_secs(10));
                failures["x"].retry_boot_ms - 1_000
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000]);
        prune(&mut failures, &Plan::default(), 1_000, |_| false);
        assert!(failures.is_empty());
    }

    #[test]
    fn a_step_whose_turn_has_not_come_keeps_its_count() {
        let mut failures = BTreeMap::new();
        record(&mut failures, "x", broken(false), 1_000, Duration::from_secs(10));
        let plan = Plan { postponed: vec!["x".into()], ..Plan::default() };
        prune(&mut failures, &plan, 5_000, |_| false);
        record(&mut failures, "x", broken(false), 5_000, Duration::from_secs(10));
        assert_eq!((failures["x"].count, failures["x"].retry_boot_ms), (2, 7_000));
    }

    #[test]
    fn what_only_tidies_up_is_left_for_the_same_time_again_and_again() {
        let mut failures = BTreeMap::new();
        for _ in 0..3 {
            leave(&mut failures, "x", broken(false), 1_000, Duration::from_secs(3600));
            assert_eq!(failures["x"].retry_boot_ms, 3_601_000);
        }
    }

    #[test]
    fn room_lets_only_those_try_that_had_none() {
        let mut failures = BTreeMap::new();
        record(&mut failures, "full", broken(true), 1_000, Duration::from_secs(10));
        record(&mut failures, "other", broken(false), 1_000, Duration::from_secs(10));
        room_was_made(&mut failures);
        assert_eq!((failures["full"].retry_boot_ms, failures["other"].retry_boot_ms), (0, 2_000));
        assert_eq!(failures["full"].count, 1, "a further failure waits longer all the same");
    }
}
