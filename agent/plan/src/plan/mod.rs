//! The function between what is wanted and what is there.

mod app;
mod departed;
mod draft;
mod findings;
mod handover;
mod hold;
mod host;
mod images;
mod locking;
mod need;
mod networks;
#[cfg(test)]
mod one_app;
mod order;
#[cfg(test)]
mod properties;
mod reason;
mod removal;
mod start;
mod step;
mod trial;
mod volumes;
mod wanted;

pub use findings::Planner;
pub use hold::HoldVerdict;
pub use host::MAX_REBOOTS;
pub use order::OrderVerdict;
pub use reason::{Reason, Wait};
pub use step::{Action, Named, Step};

use draft::{Draft, World};
use findings::Findings;
use serde::Serialize;

use crate::current::Current;
use crate::facts::Facts;
use crate::memory::Memory;
use crate::policy::{Now, Policy};
use crate::target::{AppId, DeviceTarget};

/// What to do now, what is waited for, and when to look again without an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Steps that may all run at once, now.
    pub steps: Vec<Step>,
    /// What is not done now, each with its reason.
    pub waiting: Vec<Wait>,
    /// Keys of running steps that nobody wants any more: pulls of images that left the target.
    pub cancel: Vec<String>,
    /// Keys of steps that failed before, are still wanted and are not taken now: their turn has not come, or their next try.
    #[serde(skip)]
    pub postponed: Vec<String>,
    /// When the plan may change without an event, ms since boot.
    pub wake_boot_ms: Option<i64>,
    /// How it stands with the volume that is to be kept from its services, if one is.
    pub hold: Option<HoldVerdict>,
    /// Orders that ended, well or not.
    #[serde(skip)]
    pub orders: Vec<(AppId, OrderVerdict)>,
}

impl Plan {
    /// Nothing to do and nothing waited for: the device is at its target.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.waiting.iter().all(|wait| wait.reason.is_note())
    }
}

/// Everything a round of planning may look at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is there.
    pub current: &'a Current,
    /// What is wanted.
    pub target: &'a DeviceTarget,
    /// What is remembered.
    pub memory: &'a Memory,
    /// What is known of the device.
    pub facts: &'a Facts,
    /// What is allowed.
    pub policy: &'a Policy,
    /// What time it is.
    pub now: Now,
}

/// Plans one round. Pure: the same input gives the same plan.
pub fn plan(input: &Input<'_>) -> Plan {
    plan_on(input, Findings::default()).0
}

/// Plans one round on what was found out before about this target and these facts.
fn plan_on(input: &Input<'_>, findings: Findings) -> (Plan, Findings) {
    let mut draft = Draft::new(*input, findings);
    if let Some(why) = &input.policy.watch_only {
        draft.wait("device", None, Reason::WatchOnly { why: why.clone() });
        hold::judge_watching(&mut draft, why);
        order::refuse_all(&mut draft, why);
        return draft.finish();
    }
    if let Some(down) = input.memory.going_down.as_ref().filter(|down| input.now.boot_ms < down.until_boot_ms) {
        draft.wait("device", None, Reason::GoingDown { power: down.power });
        draft.wake(down.until_boot_ms);
        order::refuse_all(&mut draft, &format!("the device was asked to {}", down.power));
        return draft.finish();
    }
    for why in &input.policy.passed_over {
        draft.note("device", None, Reason::VariablePassedOver { why: why.clone() });
    }
    host::plan_configuration(&mut draft);
    let world = World::of(input);
    hold::plan_hold(&mut draft, &world);
    order::plan_orders(&mut draft, &world);
    for (uuid, refused) in &input.target.refused {
        app::refused(&mut draft, uuid, refused);
    }
    let supervisor = networks::plan_supervisor_network(&mut draft, &world);
    for app in input.target.apps.values().filter(|app| app.is_managed()) {
        if draft.is_frozen(app.id) {
            continue;
        }
        // A release that failed its trial is not tried again: the one settled before it stands in for it.
        let stand_in = trial::stand_in(&mut draft, app);
        let app = stand_in.as_ref().unwrap_or(app);
        let restored = order::stand_in(&draft, app.id, &app.uuid, Some(app));
        app::plan_accepted(&mut draft, &world, &supervisor, restored.as_ref().unwrap_or(app));
    }
    order::plan_restored(&mut draft, &world, &supervisor);
    departed::plan_departed(&mut draft, &world);
    removal::plan_superseded(&mut draft, &world);
    images::plan_cancel(&mut draft);
    removal::plan_dangling(&mut draft);
    host::plan_reboot(&mut draft);
    draft.finish()
}
