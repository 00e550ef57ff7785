//! What an update would do: `/v3/plan`.

use holdfast_plan::forecast::{Forecast, Round, forecast};
use holdfast_plan::plan::{Input, Reason, Step, Wait};
use holdfast_plan::policy::Now;
use holdfast_plan::target::DeviceTarget;
use serde::Serialize;

use super::moment::{Ago, Ahead};
use super::reading::read_by_field;
use super::sentence::{step_name, step_sentence};
use super::status::{RefusedRow, WaitRow, refused_rows};
use crate::reconcile::View;

/// What `/v3/plan` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanAnswer {
    /// `stored`, or `document` for a target that came with the request.
    pub target: String,
    /// Whether the device is at this target.
    pub settled: bool,
    /// Whether the steps lead to the target; otherwise `waiting` says what stands in the way.
    pub reaches_target: bool,
    /// The steps to the end, in their order; waits that can resolve are assumed to, and named.
    pub steps: Vec<PlannedStep>,
    /// What is waited for now.
    pub waiting: Vec<WaitRow>,
    /// What is still waited for after the last step, where the steps do not lead to the target.
    pub in_the_way: Vec<WaitRow>,
    /// Apps whose part of the target is refused.
    pub refused: Vec<RefusedRow>,
}

read_by_field!(PlanAnswer { target, settled, reaches_target, steps, waiting, in_the_way, refused });

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlannedStep {
    /// The step in one word, for example `fetch`.
    #[serde(rename = "do")]
    pub action: String,
    /// The step as a sentence.
    pub text: String,
    /// Why.
    pub why: String,
    /// App.
    pub app: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// The round it belongs to: steps of one round run at once, those of an earlier one come first.
    pub round: usize,
    /// What is waited for before this round, beside the steps of the earlier ones.
    pub after: Vec<String>,
}

read_by_field!(PlannedStep { action = "do", text, why, app, service, round, after });

/// Plans to the end, from what was there when the loop looked last. Changes nothing.
pub(super) fn plan_answer(view: &View, target: &DeviceTarget, now: Now, source: &str) -> PlanAnswer {
    let input = Input { current: &view.current, target, memory: &view.memory, facts: &view.facts, policy: &view.policy, now };
    let Forecast { rounds, reaches_target } = forecast(&input);
    let waits = |round: Option<&Round>| round.map(|r| r.waiting.iter().map(|w| wait_row(w, now)).collect()).unwrap_or_default();
    let stuck = rounds.last().filter(|_| !reaches_target);
    PlanAnswer {
        target: source.into(),
        settled: rounds.is_empty() && reaches_target,
        reaches_target,
        waiting: waits(rounds.first()),
        in_the_way: waits(stuck),
        steps: planned_steps(rounds),
        refused: refused_rows(target),
    }
}

/// The steps of all rounds. A round without steps only passes on what it waits for.
fn planned_steps(rounds: Vec<Round>) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    let (mut number, mut after) = (0, Vec::new());
    for round in rounds {
        after.extend(round.after);
        if round.steps.is_empty() {
            continue;
        }
        number += 1;
        steps.extend(round.steps.into_iter().map(|step| planned_step(step, number, &after)));
        after.clear();
    }
    steps
}

fn planned_step(step: Step, round: usize, after: &[String]) -> PlannedStep {
    PlannedStep {
        action: step_name(&step).into(),
        text: step_sentence(&step),
        why: step.why.to_string(),
        app: step.app,
        service: step.service,
        round,
        after: after.to_vec(),
    }
}

/// One thing that is waited for.
pub(super) fn wait_row(wait: &Wait, now: Now) -> WaitRow {
    let (mut since, mut until) = (None, None);
    match &wait.reason {
        Reason::WaitingForLock { since_ms, .. } => since = since_ms.and_then(|ms| Ago::from_wall(ms, now)),
        Reason::Retry { retry_boot_ms: at, .. }
        | Reason::LeftForNow { retry_boot_ms: at, .. }
        | Reason::WaitingForHandOver { deadline_boot_ms: at }
        | Reason::WaitingForHealth { deadline_boot_ms: at, .. } => until = Some(Ahead::from_boot(*at, now)),
        Reason::KeptForGrace { until_ms } => until = until_ms.and_then(|at| Ahead::from_wall(at, now)),
        _ => {}
    }
    let reason = serde_json::to_value(&wait.reason).ok();
    let reason = reason.as_ref().and_then(|reason| reason.get("reason")?.as_str()).unwrap_or_default().into();
    WaitRow { app: wait.app.clone(), service: wait.service.clone(), reason, text: wait.reason.to_string(), since, until }
}
