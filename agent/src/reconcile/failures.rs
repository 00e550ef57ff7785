//! When a failed step is tried again (behaviour §2.2: 500 ms, doubled each time, up to the poll interval).

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_plan::memory::Failure;
use holdfast_plan::plan::{Plan, Reason};

/// The first wait is twice this.
const BASE_MS: i64 = 500;

/// Records one more failure of a step.
pub(super) fn record(failures: &mut BTreeMap<String, Failure>, key: &str, error: String, now_boot_ms: i64, max: Duration) {
    let count = failures.get(key).map_or(0, |failure| failure.count).saturating_add(1);
    let wait = (BASE_MS << count.min(32)).min(i64::try_from(max.as_millis()).unwrap_or(i64::MAX));
    failures.insert(key.to_owned(), Failure { error, count, retry_boot_ms: now_boot_ms + wait });
}

/// Forgets failures of steps that the plan no longer wants, so that the record cannot grow. Failures the plan still
/// waits out stay; so do those of steps that are being tried again.
pub(super) fn prune(failures: &mut BTreeMap<String, Failure>, plan: &Plan, now_boot_ms: i64, in_flight: impl Fn(&str) -> bool) {
    if failures.is_empty() {
        return;
    }
    let waiting = plan.waiting.iter().any(|wait| matches!(wait.reason, Reason::Retry { .. }));
    let wanted: Vec<String> = plan.steps.iter().map(holdfast_plan::plan::Step::key).collect();
    failures.retain(|key, failure| (waiting && failure.retry_boot_ms > now_boot_ms) || in_flight(key) || wanted.contains(key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let mut failures = BTreeMap::new();
        let waits: Vec<i64> = (0..8)
            .map(|_| {
                record(&mut failures, "x", "broken".into(), 1_000, Duration::from_secs(10));
                failures["x"].retry_boot_ms - 1_000
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000]);
        prune(&mut failures, &Plan::default(), 1_000, |_| false);
        assert!(failures.is_empty());
    }
}
