//! Whether a version on trial has proved itself, and that its trial ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
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
    /// What was decided; whoever is first decides.
    decided: AtomicU8,
}

const PROVEN: u8 = 1;
const OVER: u8 = 2;

impl TrialTime {
    /// It begins now.
    pub fn new(deadline: Duration) -> TrialTime {
        TrialTime { end: Instant::now() + deadline, decided: AtomicU8::new(0) }
    }

    /// The version proved itself. From now on nobody ends it, even if that cannot be noted at once. `false`: too late.
    pub fn prove(&self) -> bool {
        self.decide(PROVEN)
    }

    /// Whether it has.
    pub fn is_proven(&self) -> bool {
        self.decided.load(Ordering::SeqCst) == PROVEN
    }

    /// Nobody saw it prove itself: it is ended. `false`: it has proved itself.
    pub fn expire(&self) -> bool {
        self.decide(OVER)
    }

    fn decide(&self, how: u8) -> bool {
        let before = self.decided.compare_exchange(0, how, Ordering::SeqCst, Ordering::SeqCst);
        before == Ok(0) || before == Err(how)
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
        if end(&folder, on_trial, &trial, limit) {
            std::process::exit(i32::from(super::RESTART));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("trial".to_owned()).spawn(watch) {
        log::error!("the thread that watches over the trial cannot be started: {error}");
    }
    time
}

/// Writes the verdict about a version that is still on trial when its time is long over; says whether the process is to end.
fn end(folder: &Folder, on_trial: impl Fn(&Slots) -> bool, time: &TrialTime, limit: Duration) -> bool {
    if !time.expire() {
        return false;
    }
    // With no record to be read its starts are counted all the same.
    let Ok(mut slots) = folder.load() else { return true };
    if !on_trial(&slots) {
        return false;
    }
    // With a verdict it was about to end, and does not get there.
    if let Some(trial) = slots.trial.as_mut().filter(|trial| trial.verdict.is_none()) {
        let why = format!("it got stuck: {} s after its start there was no verdict", limit.as_secs());
        log::error!("agent {}: {why}; the version before it is started again", trial.binary.version);
        trial.verdict = Some(why);
        if let Err(error) = folder.store(&slots) {
            log::error!("{error}");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::record::{Binary, Slot, Starts, Trial};
    use super::*;

    #[test]
    fn a_trial_is_ended_only_while_it_is_one() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::of(data.path());
        let binary = Binary { slot: Slot::A, sha256: "x".into(), version: "1".into() };
        let trial = Trial { binary, starts: Starts::default(), total: 1, schema: 2, cloud: false, wish: None, verdict: None };
        let on_trial = Slots { trial: Some(trial), ..Slots::default() };
        let ends = |time: &TrialTime| end(&folder, |slots: &Slots| slots.trial.is_some(), time, Duration::from_secs(330));
        let verdict = || folder.load().unwrap().trial.and_then(|trial| trial.verdict);
        folder.store(&on_trial).unwrap();
        // What proved itself goes on, though that was not noted yet.
        let proven = TrialTime::new(Duration::ZERO);
        assert!(proven.prove() && proven.prove());
        assert!(!ends(&proven) && verdict().is_none());
        // What is about to be ended proves nothing any more.
        let stuck = TrialTime::new(Duration::ZERO);
        assert!(ends(&stuck) && verdict().unwrap().contains("it got stuck: 330 s"));
        assert!(!stuck.prove() && !stuck.is_proven());
        assert!(ends(&TrialTime::new(Duration::ZERO)), "it has its verdict and yet does not end");
        folder.store(&on_trial.trial_kept()).unwrap();
        assert!(!ends(&TrialTime::new(Duration::ZERO)));
        std::fs::write(data.path().join("agent/slots"), "torn").unwrap();
        assert!(ends(&TrialTime::new(Duration::ZERO)), "it cannot be known what it is, but it began as one on trial");
    }

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
