//! The plan to its end: round after round, each applied to a model of the present, with the same [`crate::plan::plan`]
//! the agent runs by. Where a round can only wait, the wait is assumed to resolve and what follows is marked with it.

mod apply;
mod resolve;

pub use apply::apply;

use serde::Serialize;

use crate::current::Current;
use crate::memory::Memory;
use crate::plan::{Input, Plan, Step, Wait, plan};
use crate::policy::Policy;

/// More rounds than any target needs: a plan that does not end is a mistake and is shown as one.
const MAX_ROUNDS: usize = 200;

/// One round of a forecast.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// Steps that run at once.
    pub steps: Vec<Step>,
    /// What waits in this round.
    pub waiting: Vec<Wait>,
    /// Sentences of the waits that are assumed to have resolved before this round.
    pub after: Vec<String>,
}

/// What would happen, to the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// The rounds, in order. Empty when the device is at its target.
    pub rounds: Vec<Round>,
    /// Whether the last round leaves the device at its target; otherwise the last round's waits say what stands in the way.
    pub reaches_target: bool,
}

/// Plans to the end.
pub fn forecast(input: &Input<'_>) -> Forecast {
    let mut model = Model { current: input.current.clone(), memory: input.memory.clone(), policy: input.policy.clone() };
    // Steps in flight belong to the round that is running; the forecast shows them as planned.
    model.current.in_flight.clear();
    let mut forecast = Forecast::default();
    let mut after: Vec<String> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let Plan { steps, waiting, .. } = model.plan(input);
        if steps.is_empty() && waiting.iter().all(|wait| wait.reason.is_note()) {
            forecast.reaches_target = true;
            return forecast;
        }
        let stuck = steps.is_empty();
        let resolved = if stuck { resolve::resolve(&mut model, &waiting) } else { Vec::new() };
        for step in &steps {
            apply(&mut model.current, &mut model.memory, step, input.now);
        }
        forecast.rounds.push(Round { steps, waiting, after: std::mem::take(&mut after) });
        if stuck && resolved.is_empty() {
            return forecast;
        }
        after = resolved;
    }
    forecast
}

/// The device as it would be.
struct Model {
    current: Current,
    memory: Memory,
    policy: Policy,
}

impl Model {
    fn plan(&self, input: &Input<'_>) -> Plan {
        plan(&Input { current: &self.current, memory: &self.memory, policy: &self.policy, ..*input })
    }
}
