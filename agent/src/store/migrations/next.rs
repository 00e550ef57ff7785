//! One step more than this agent has: stands for the next version of the schema in the suite that changes between two agents.

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

const ALL: [Migration; STEPS.len() + 1] = {
    let mut all = [NEXT; STEPS.len() + 1];
    let mut at = 0;
    while at < STEPS.len() {
        all[at] = STEPS[at];
        at += 1;
    }
    all
};

/// The agent's steps and one more.
pub const MIGRATIONS: &[Migration] = &ALL;

/// What is run for a step.
pub(super) fn up(step: &Migration) -> &'static str {
    let fails = std::env::var_os(VARIABLE).is_some_and(|value| value == "fail");
    if fails && step.version == NEXT.version { FAILING } else { step.up }
}
