//! What an update would do: `/v3/plan`.

use std::sync::Arc;

use holdfast_plan::plan::{Plan, Reason, Step, Wait};
use holdfast_plan::policy::Now;
use holdfast_plan::target::DeviceTarget;
use serde::{Deserialize, Serialize};

use super::moment::{Ago, Ahead};
use super::sentence::{step_name, step_sentence};
use super::status::{RefusedRow, WaitRow, refused_rows};
use crate::reconcile::View;

/// Plans to the end for a target, from what was there when the loop looked last. Pure: it changes nothing.
pub type Preview = Arc<dyn Fn(&View, &DeviceTarget, Now) -> Previewed + Send + Sync>;

/// A step of a preview.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewStep {
    /// The step.
    pub step: Step,
    /// What has to come first, each as a sentence; empty for a step that could run now.
    pub after: Vec<String>,
}

/// What a preview found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Previewed {
    /// The steps in their order.
    pub steps: Vec<PreviewStep>,
    /// What is waited for now.
    pub waiting: Vec<Wait>,
    /// Whether the steps lead to the target's end; `false` when only the next ones could be told.
    pub complete: bool,
}

impl From<Plan> for Previewed {
    /// One round of planning: the next steps only.
    fn from(plan: Plan) -> Previewed {
        let complete = plan.is_settled();
        let steps = plan.steps.into_iter().map(|step| PreviewStep { step, after: Vec::new() }).collect();
        Previewed { steps, waiting: plan.waiting, complete }
    }
}

/// What `/v3/plan` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanAnswer {
    /// `stored`, or `document` for a target that came with the request.
    pub target: String,
    /// Whether there is nothing to do and nothing waited for.
    pub settled: bool,
    /// Whether the steps lead to the target's end.
    pub complete: bool,
    /// The steps in their order.
    pub steps: Vec<PlannedStep>,
    /// What is waited for now.
    pub waiting: Vec<WaitRow>,
    /// Apps whose part of the target is refused.
    pub refused: Vec<RefusedRow>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// What has to come first.
    pub after: Vec<String>,
}

/// Previews a target.
pub(super) fn plan_answer(preview: &Preview, view: &View, target: &DeviceTarget, now: Now, source: &str) -> PlanAnswer {
    let found = preview(view, target, now);
    PlanAnswer {
        target: source.into(),
        settled: found.steps.is_empty() && found.waiting.is_empty(),
        complete: found.complete,
        steps: found.steps.into_iter().map(planned_step).collect(),
        waiting: found.waiting.iter().map(|wait| wait_row(wait, now)).collect(),
        refused: refused_rows(target),
    }
}

fn planned_step(found: PreviewStep) -> PlannedStep {
    let PreviewStep { step, after } = found;
    PlannedStep {
        action: step_name(&step).into(),
        text: step_sentence(&step),
        why: step.why.to_string(),
        app: step.app,
        service: step.service,
        after,
    }
}

/// One thing that is waited for.
pub(super) fn wait_row(wait: &Wait, now: Now) -> WaitRow {
    let (mut since, mut until) = (None, None);
    match &wait.reason {
        Reason::WaitingForLock { since_ms, .. } => since = since_ms.and_then(|ms| Ago::from_wall(ms, now)),
        Reason::Retry { retry_boot_ms, .. } => until = Some(Ahead::from_boot(*retry_boot_ms, now)),
        Reason::KeptForGrace { until_ms } => until = Ahead::from_wall(*until_ms, now),
        _ => {}
    }
    let reason = serde_json::to_value(&wait.reason).ok();
    let reason = reason.as_ref().and_then(|reason| reason.get("reason")?.as_str()).unwrap_or_default().into();
    WaitRow { app: wait.app.clone(), service: wait.service.clone(), reason, text: wait.reason.to_string(), since, until }
}
