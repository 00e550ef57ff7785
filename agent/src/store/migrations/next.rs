//! One step more than this agent has: stands for the next version of the schema in the suites that change between two agents.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Migration, STEPS};

/// A harmless step that keeps something the agent of before has no place for.
const NEXT: Migration = Migration {
    version: STEPS.len() as u32 + 1,
    name: "test-history",
    up: "CREATE TABLE test_history (what TEXT NOT NULL) STRICT; INSERT INTO test_history VALUES ('one'), ('two');",
    down: "DROP TABLE test_history;",
};

/// The same step with an error after its first half.
const FAILING: &str = "CREATE TABLE test_history (what TEXT NOT NULL) STRICT; INSERT INTO nowhere VALUES (1);";

/// Says `fail` when the step is to fail.
const VARIABLE: &str = "HOLDFAST_TEST_MIGRATION";

static ALL: [Migration; STEPS.len() + 1] = {
    let mut all = [NEXT; STEPS.len() + 1];
    let mut at = 0;
    while at < STEPS.len() {
        all[at] = STEPS[at];
        at += 1;
    }
    all
};

static KNOWN: AtomicBool = AtomicBool::new(false);

/// Makes this process an agent that knows the step.
pub fn know_next() {
    KNOWN.store(true, Ordering::Relaxed);
}

/// The steps this agent knows, in order.
pub fn migrations() -> &'static [Migration] {
    if KNOWN.load(Ordering::Relaxed) { &ALL } else { STEPS }
}

/// What is run for a step.
pub(super) fn up(step: &Migration) -> &'static str {
    let fails = std::env::var_os(VARIABLE).is_some_and(|value| value == "fail");
    if fails && step.version == NEXT.version { FAILING } else { step.up }
}
