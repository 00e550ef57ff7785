//! The checks of `holdfast diagnose`, run by the agent.

use super::answer::{Outcome, Refusal, json};
use super::route::{Access, Call, Route};

pub(super) static ROUTES: [Route; 1] = [Route::get("/v3/diagnose", Access::Operator, |call| Box::pin(diagnose(call)))];

async fn diagnose(call: Call) -> Outcome {
    match call.state.diagnosis.run().await {
        Some(report) => json(&report.to_json()),
        None => Err(Refusal::unavailable("the checks are being run for somebody else; ask again in half a minute")),
    }
}
