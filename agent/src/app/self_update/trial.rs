//! A version on trial: it proves itself in time, or makes room for the one before it.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::SelfUpdate;
use crate::events::Level;
use crate::reconcile::Phase;
use crate::settings::format_duration;
use crate::slot::{Launched, Seen, missing, settled_for};

/// How long it waits before it notes again what could not be noted.
const NOTE_RETRY: Duration = Duration::from_secs(10);

impl SelfUpdate {
    pub(super) fn is_on_trial(&self) -> bool {
        let slot = self.slots.trial.as_ref().map(|trial| Launched::Slot(trial.binary.slot));
        slot.is_some() && slot == self.launched
    }

    /// Waits until nothing is missing for a while, and keeps this version; `false` when the deadline comes first.
    pub(super) async fn prove(&mut self) -> bool {
        let Some(trial) = self.slots.trial.clone() else { return true };
        self.show(|shown| shown.doing = Some("on trial".into()));
        log::info!("agent {} is on trial for {}", trial.binary.version, format_duration(self.deadline));
        let end = Instant::from_std(self.trial_time.end);
        let mut whole_since: Option<Instant> = None;
        loop {
            let missing = missing(trial.cloud, self.seen());
            let now = Instant::now();
            whole_since = if missing.is_empty() { whole_since.or(Some(now)) } else { None };
            let kept_at = whole_since.map(|since| since + settled_for(self.deadline));
            if self.trial_time.is_proven() || kept_at.is_some_and(|at| at <= now) {
                self.keep_it(&trial.binary.version).await;
                return true;
            }
            // With nothing missing there is so little to wait for that the deadline can wait as well.
            if now >= end && !missing.is_empty() {
                self.give_up(&missing.join(" and "));
                return false;
            }
            tokio::select! {
                // A device without a cloud has nobody who would say anything about it.
                Ok(()) = self.links.view.changed() => {}
                Ok(()) = self.links.cloud.changed() => {}
                () = sleep_until(kept_at.unwrap_or(end)) => {}
            }
        }
    }

    fn seen(&self) -> Seen {
        let view = self.links.view.borrow();
        let cloud = self.links.cloud.borrow();
        let away = matches!(view.phase, Phase::Starting | Phase::EngineAway { .. });
        Seen { engine: view.engine.is_some() && !away, cloud: cloud.endpoint.is_empty() || cloud.last_poll_boot_ms.is_some() }
    }

    /// Notes that it is kept, however long that takes: until then a start would count against it.
    async fn keep_it(&mut self, version: &str) {
        if !self.trial_time.prove() {
            // The process is being ended, and the version before it is started.
            return std::future::pending().await;
        }
        let kept = self.slots.clone().trial_kept();
        let mut said = false;
        while let Err(error) = self.ground.folder.store(&kept) {
            if !std::mem::replace(&mut said, true) {
                let again = NOTE_RETRY.as_secs();
                let text =
                    format!("agent {version} proved itself, but that cannot be noted: {error}; tried again every {again} s");
                self.say(Level::Error, text);
            }
            sleep(NOTE_RETRY).await;
        }
        self.slots = kept;
        self.ground.folder.remove_copy();
        self.show(|shown| shown.doing = None);
        self.say(Level::Info, format!("agent {version} proved itself and is kept"));
    }

    fn give_up(&mut self, missing: &str) {
        let why = format!("within {} {missing}", format_duration(self.deadline));
        let Some(trial) = &mut self.slots.trial else { return };
        trial.verdict = Some(why.clone());
        let version = trial.binary.version.clone();
        if let Err(error) = self.ground.folder.store(&self.slots) {
            log::error!("{error}");
        }
        self.say(Level::Error, format!("agent {version} is not kept: {why}; the version before it is started again"));
    }
}
