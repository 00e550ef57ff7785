//! Whether a version on trial has proved itself, and that its trial ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::launch::Launched;
use super::record::Slots;

/// What the agent on trial has seen. That it runs at all means that its database is open and of its schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The engine answered, and does.
    pub engine: bool,
    /// The cloud answered a poll; so it is on a device without one.
    pub cloud: bool,
}

/// What is missing before it has proved itself.
/// `cloud`: whether the cloud has to be reached, because the version before it did.
pub fn missing(cloud: bool, seen: Seen) -> Vec<&'static str> {
    let engine = (!seen.engine).then_some("the engine has not answered it");
    let cloud = (cloud && !seen.cloud).then_some("it has not reached the cloud, which the version before it did");
    engine.into_iter().chain(cloud).collect()
}

/// How long nothing may be missing before it counts: one that falls over its first work has not proved itself.
pub fn settled_for(deadline: Duration) -> Duration {
    deadline / 30
}

/// The time a trial has: one for all who watch over it, also when the agent begins anew within its process.
#[derive(Debug)]
pub struct TrialTime {
    /// When it is over.
    pub end: Instant,
    proven: AtomicBool,
}

impl TrialTime {
    /// It begins now.
    pub fn new(deadline: Duration) -> TrialTime {
        TrialTime { end: Instant::now() + deadline, proven: AtomicBool::new(false) }
    }

    /// The version proved itself. From now on nobody ends it, even if that cannot be noted at once.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }
}

/// Sees to it that a trial ends in time even when the rest of the process hangs: a thread of its own writes the verdict and
/// ends the process. It has a little more time than the verdict by the rest of the agent, which ends in order.
/// Nothing is done for any version but the one on trial.
pub fn guard(data_dir: &Path, launched: Option<Launched>, deadline: Duration) -> Arc<TrialTime> {
    let (folder, time) = (Folder::of(data_dir), Arc::new(TrialTime::new(deadline)));
    let on_trial =
        move |slots: &Slots| slots.trial.as_ref().is_some_and(|trial| launched == Some(Launched::Slot(trial.binary.slot)));
    if launched.is_none() || !folder.load().is_ok_and(|slots| on_trial(&slots)) {
        return time;
    }
    let (limit, trial) = (deadline + deadline / 10, time.clone());
    let watch = move || {
        std::thread::sleep(limit);
        if trial.is_proven() {
            return;
        }
        let Ok(mut slots) = folder.load() else { return };
        if !on_trial(&slots) {
            return;
        }
        let Some(trial) = slots.trial.as_mut().filter(|trial| trial.verdict.is_none()) else { return };
        let why = format!("it got stuck: {} s after its start there was no verdict", limit.as_secs());
        log::error!("agent {}: {why}; the version before it is started again", trial.binary.version);
        trial.verdict = Some(why);
        if let Err(error) = folder.store(&slots) {
            // Its starts are counted all the same.
            log::error!("{error}");
        }
        std::process::exit(i32::from(super::RESTART));
    };
    if let Err(error) = std::thread::Builder::new().name("trial".to_owned()).spawn(watch) {
        log::error!("the thread that watches over the trial cannot be started: {error}");
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cloud_counts_only_when_it_was_reached_before() {
        let seen = |engine, cloud| Seen { engine, cloud };
        assert_eq!(missing(true, seen(true, true)), [""; 0]);
        assert_eq!(missing(false, seen(true, false)), [""; 0]);
        assert_eq!(missing(true, seen(true, false)).len(), 1);
        assert_eq!(missing(true, seen(false, false)).len(), 2);
        assert_eq!(missing(false, seen(false, true)).len(), 1);
    }
}
