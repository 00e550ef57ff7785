//! One round: look, plan, begin what can be done, show it.

mod accept;
mod begin;
mod facts;
mod finish;
mod keys;
mod observe;
mod publish;
#[cfg(all(test, feature = "sandbox"))]
mod tests;
mod wake;

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_plan::memory::Memory;
use holdfast_plan::plan::{Input, Planner};
use holdfast_plan::policy::Force;
use holdfast_plan::target::AppId;
use tokio::time::Instant;

use super::announce::Announcer;
use super::app_order::{Ended, Reply};
use super::hold::ActiveHold;
use super::outage::Outage;
use super::running::Running;
use super::space::Disk;
use super::{Channels, Keyring, TargetInForce, Tools, View, failures};
use crate::clock::until;
use crate::engine::{EngineInfo, Events};
use crate::host::DeviceInfo;
use crate::policy::{self, Circumstances};
use crate::store::Loaded;

/// The loop and what it knows between rounds: nothing that an observation could tell.
pub struct Reconciler {
    pub(super) tools: Tools,
    channels: Channels,
    pub(super) announcer: Announcer,
    running: Running,
    events: Option<Events>,
    engine: Option<EngineInfo>,
    device: DeviceInfo,
    pub(super) memory: Memory,
    planner: Planner,
    keyring: Arc<Keyring>,
    target: Option<TargetInForce>,
    force: Option<Force>,
    hold: Option<ActiveHold>,
    pub(super) replies: BTreeMap<AppId, Reply>,
    pub(super) away: Option<Outage>,
    locks_unread: Option<Outage>,
    store_error: Option<String>,
    pub(super) last: View,
    next_slow_look: Instant,
}

impl Reconciler {
    /// Makes the loop from what was stored. The target in force comes through the channel.
    pub fn new(tools: Tools, channels: Channels, loaded: &Loaded) -> Reconciler {
        let keyring = Arc::new(Keyring::of(loaded));
        let announcer = Announcer::new(channels.events.clone());
        let target = channels.target.borrow().clone();
        Reconciler {
            tools,
            announcer,
            running: Running::new(),
            events: None,
            engine: None,
            device: DeviceInfo::default(),
            memory: loaded.memory.clone(),
            planner: Planner::default(),
            keyring: keyring.clone(),
            target,
            channels,
            force: None,
            hold: None,
            replies: BTreeMap::new(),
            away: None,
            locks_unread: None,
            store_error: None,
            last: View { keys: keyring, ..View::default() },
            next_slow_look: Instant::now(),
        }
    }

    /// One round. Returns when the next look is due without an event.
    async fn round(&mut self) -> Option<Instant> {
        let Some(current) = self.observe().await else {
            return self.away.as_ref().or(self.locks_unread.as_ref()).map(|outage| outage.due);
        };
        let target = self.target.as_ref().map_or_else(Arc::default, |t| t.target.clone());
        self.provide_keys(&target, &current).await;
        let facts = self.facts();
        let grace_ms = i64::try_from(self.tools.volume_grace.as_millis()).unwrap_or(i64::MAX);
        let now = self.tools.clock.now();
        self.hold = self.hold.take().filter(ActiveHold::is_wanted);
        let policy = policy::evaluate(&Circumstances {
            config: &target.config,
            request: self.force.as_ref(),
            hold: self.hold.as_ref().map(|hold| &hold.hold),
            engine: &current.engine,
            memory: &self.memory,
            volume_grace_ms: grace_ms,
            clean_dangling: self.tools.clean_dangling,
            zone: &self.tools.zone,
            now,
        });
        let input = Input { current: &current, target: &target, memory: &self.memory, facts: &facts, policy: &policy, now };
        let plan = self.planner.plan(&target, &input);
        failures::prune(&mut self.memory.failures, &plan, now.boot_ms, |key| self.running.has(key));
        self.announcer.waits(&plan, now.wall_ms);
        let data_root = self.engine.as_ref().and_then(|engine| engine.data_root.clone());
        let disk = Disk { data_root, watermark: policy.disk_watermark };
        let acted = self.start(&plan, &disk).await;
        let acted = self.judge_hold(&plan) || acted;
        let ended = self.end_orders(&plan).await;
        let acted = acted || !ended.is_empty();
        if plan.is_settled() && self.running.is_empty() {
            self.force = None;
            // Only watching, it is not known who needs what.
            if self.target.is_some() && self.memory.trials.is_empty() && policy.watch_only.is_none() {
                self.drop_keys(&target, &current).await;
            }
        }
        let wake = plan.wake_boot_ms.map(|at| Instant::now() + until(at, now));
        self.publish(current, target, facts, policy, plan);
        // Whoever asked sees what came of it.
        ended.into_iter().for_each(Ended::tell);
        let due = self.announcer.next_due().map_or(self.next_slow_look, |due| due.min(self.next_slow_look));
        if acted { Some(Instant::now()) } else { Some(wake.map_or(due, |wake| wake.min(due))) }
    }
}
