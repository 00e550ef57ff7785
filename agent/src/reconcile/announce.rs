//! Puts what happens and what is waited for into words, once per change: log, log stream and local API get the same.

mod repeats;
mod waits;
mod words;

use std::collections::BTreeMap;

use holdfast_plan::plan::{Action, Plan, Reason, Step};
use tokio::sync::broadcast;
use tokio::time::Instant;

use self::repeats::{Repeats, shape};
use self::waits::Waits;
use self::words::{turn, words};
use crate::events::{Event, Level, Topic};

/// Sends events and remembers what was said.
pub(super) struct Announcer {
    events: broadcast::Sender<Event>,
    waits: Waits,
    repeats: Repeats,
    faults: BTreeMap<&'static str, String>,
}

impl Announcer {
    pub fn new(events: broadcast::Sender<Event>) -> Announcer {
        Announcer { events, waits: Waits::default(), repeats: Repeats::default(), faults: BTreeMap::new() }
    }

    /// Logs and sends one message about nothing of what has a topic of its own.
    pub fn say(&self, level: Level, app: Option<&str>, service: Option<&str>, message: String, wall_ms: Option<i64>) {
        self.say_on(Topic::Note, level, app, service, message, wall_ms);
    }

    /// Logs and sends one message.
    pub fn say_on(
        &self,
        topic: Topic,
        level: Level,
        app: Option<&str>,
        service: Option<&str>,
        message: String,
        wall_ms: Option<i64>,
    ) {
        let place = [app, service].into_iter().flatten().collect::<Vec<_>>().join("/");
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        match level {
            Level::Info => log::info!("{place}{message}"),
            Level::Warning => log::warn!("{place}{message}"),
            Level::Error => log::error!("{place}{message}"),
        }
        let (app, service) = (app.map(str::to_owned), service.map(str::to_owned));
        // Nobody listening is fine.
        let _ = self.events.send(Event { level, topic, app, service, message, wall_ms });
    }

    fn say_of(&self, step: &Step, level: Level, message: String, wall_ms: Option<i64>) {
        self.say_on(topic(step), level, step.app.as_deref(), step.service.as_deref(), message, wall_ms);
    }

    /// Says that a step begins, and why; that one is tried again was said when it failed.
    pub fn begins(&self, step: &Step, wall_ms: Option<i64>) {
        let Some(text) = words(&step.action).map(|(begins, _)| begins) else { return };
        if self.repeats.knows(&name(step), Instant::now()) {
            return log::debug!("{text} (once more)");
        }
        self.say_of(step, Level::Info, format!("{text} ({})", step.why), wall_ms);
    }

    /// Says that a step is done.
    pub fn done(&mut self, step: &Step, wall_ms: Option<i64>) {
        self.repeats.forget(&name(step));
        let Some(text) = words(&step.action).and_then(|(_, done)| done) else { return };
        self.say_of(step, Level::Info, text, wall_ms);
    }

    /// Says that something about a release was remembered.
    pub fn remembered(&self, step: &Step, wall_ms: Option<i64>) {
        if let Some((level, text)) = turn(step) {
            self.say_of(step, level, text, wall_ms);
        }
    }

    /// Says that a running step was given up.
    pub fn given_up(&self, step: &Step, wall_ms: Option<i64>) {
        let Some((text, _)) = words(&step.action) else { return };
        self.say_of(step, Level::Info, format!("{text}: given up, it is not wanted any more"), wall_ms);
    }

    /// Says that a step failed, and when it is tried again; more and more rarely when it fails again and again.
    pub fn failed(&mut self, step: &Step, error: &str, retry_in_ms: i64, wall_ms: Option<i64>) {
        let what = match &step.action {
            Action::Fetch { image, .. } => format!("Failed to download image '{image}' due to '{error}'"),
            action => format!("{} failed: {error}", words(action).map_or_else(|| "Recording".to_owned(), |(text, _)| text)),
        };
        let message = format!("{what}; tried again in {:.1} s", retry_in_ms as f64 / 1000.0);
        match self.repeats.count(&name(step), error, Instant::now()) {
            None => log::debug!("{message}"),
            Some(1) => self.say_of(step, level(step), message, wall_ms),
            Some(count) => self.say_of(step, level(step), format!("{message} (failed {count} times now)"), wall_ms),
        }
    }

    /// Says what is wrong with a part the loop needs when it begins and when it changes, and that it is over. `None`: all is
    /// well.
    pub fn fault(&mut self, part: &'static str, wrong: Option<&str>, wall_ms: Option<i64>) {
        match wrong {
            Some(text) if self.faults.get(part).is_some_and(|said| *said == shape(text)) => {}
            Some(text) => {
                self.faults.insert(part, shape(text));
                self.say_on(Topic::State, Level::Error, None, None, text.to_owned(), wall_ms);
            }
            None if self.faults.remove(part).is_some() => {
                let text = format!("{part}: all is well again");
                self.say_on(Topic::State, Level::Info, None, None, text, wall_ms);
            }
            None => {}
        }
    }

    /// Announces waits that are new, and forgets those that are over.
    pub fn waits(&mut self, plan: &Plan, wall_ms: Option<i64>) {
        for (level, wait) in self.waits.take(plan, Instant::now()) {
            let topic = if matches!(wait.reason, Reason::WaitingForLock { .. }) { Topic::Lock } else { Topic::Wait };
            self.say_on(topic, level, Some(&wait.app), wait.service.as_deref(), wait.reason.to_string(), wall_ms);
        }
    }

    /// When a wait has lasted so long that it is to be said, though nothing has changed.
    pub fn next_due(&self) -> Option<Instant> {
        self.waits.next_due()
    }

    /// A new target took force: what was said of the one before does not count.
    pub fn new_target(&mut self) {
        self.waits.begin_anew();
        self.repeats.begin_anew();
    }
}

/// What failures of a step are counted under: its object and what is done to it.
fn name(step: &Step) -> String {
    match words(&step.action) {
        Some((text, _)) => format!("{}: {text}", step.key()),
        None => step.key(),
    }
}

/// An application that was quicker to lock is a reason to wait; everything else is an error.
fn level(step: &Step) -> Level {
    if matches!(step.action, Action::TakeLock { .. }) { Level::Warning } else { Level::Error }
}

/// What a step's events are about.
fn topic(step: &Step) -> Topic {
    match step.action {
        Action::Fetch { .. } => Topic::Pull,
        Action::TakeLock { .. } | Action::ReleaseLock { .. } => Topic::Lock,
        Action::Remember { .. } => Topic::State,
        _ => Topic::Step,
    }
}

#[cfg(test)]
mod tests;
