//! Puts what happens and what is waited for into words, once per change: log, log stream and local API get the same.

use std::collections::BTreeSet;

use holdfast_plan::plan::{Action, Plan, Step, Wait};
use tokio::sync::broadcast;

use crate::events::{Event, Level};

/// Sends events and remembers which waits were announced.
pub(super) struct Announcer {
    events: broadcast::Sender<Event>,
    announced: BTreeSet<String>,
}

impl Announcer {
    pub fn new(events: broadcast::Sender<Event>) -> Announcer {
        Announcer { events, announced: BTreeSet::new() }
    }

    /// Logs and sends one message.
    pub fn say(&self, level: Level, app: Option<&str>, service: Option<&str>, message: String, wall_ms: Option<i64>) {
        let place = [app, service].into_iter().flatten().collect::<Vec<_>>().join("/");
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        match level {
            Level::Info => log::info!("{place}{message}"),
            Level::Warning => log::warn!("{place}{message}"),
            Level::Error => log::error!("{place}{message}"),
        }
        // Nobody listening is fine.
        let _ =
            self.events.send(Event { level, app: app.map(str::to_owned), service: service.map(str::to_owned), message, wall_ms });
    }

    /// Says that a step begins, and why.
    pub fn begins(&self, step: &Step, wall_ms: Option<i64>) {
        let Some(text) = words(&step.action).map(|(begins, _)| begins) else { return };
        let message = format!("{text} ({})", step.why);
        self.say(Level::Info, step.app.as_deref(), step.service.as_deref(), message, wall_ms);
    }

    /// Says that a step is done.
    pub fn done(&self, step: &Step, wall_ms: Option<i64>) {
        let Some(text) = words(&step.action).and_then(|(_, done)| done) else { return };
        self.say(Level::Info, step.app.as_deref(), step.service.as_deref(), text, wall_ms);
    }

    /// Says that a step failed, and when it is tried again.
    pub fn failed(&self, step: &Step, error: &str, retry_in_ms: i64, wall_ms: Option<i64>) {
        let what = match &step.action {
            Action::Fetch { image, .. } => format!("Failed to download image '{image}' due to '{error}'"),
            action => format!("{} failed: {error}", words(action).map_or_else(|| "Recording".to_owned(), |(text, _)| text)),
        };
        let message = format!("{what}; tried again in {:.1} s", retry_in_ms as f64 / 1000.0);
        self.say(Level::Error, step.app.as_deref(), step.service.as_deref(), message, wall_ms);
    }

    /// Announces waits that are new, and forgets those that are over.
    pub fn waits(&mut self, plan: &Plan, wall_ms: Option<i64>) {
        let mut now = BTreeSet::new();
        for wait in plan.waiting.iter().filter(|wait| !is_passing(wait)) {
            let key = format!("{}/{}: {}", wait.app, wait.service.as_deref().unwrap_or(""), wait.reason);
            if !self.announced.contains(&key) {
                let level = if wait.reason.is_note() { Level::Info } else { Level::Warning };
                self.say(level, Some(&wait.app), wait.service.as_deref(), wait.reason.to_string(), wall_ms);
            }
            now.insert(key);
        }
        self.announced = now;
    }
}

/// Waits that belong to the ordinary course of an update, and retries, which were announced as failures.
fn is_passing(wait: &Wait) -> bool {
    use holdfast_plan::plan::Reason as R;
    matches!(
        wait.reason,
        R::WaitingForImages { .. }
            | R::WaitingForDependency { .. }
            | R::WaitingForNetwork { .. }
            | R::WaitingForVolume { .. }
            | R::WaitingForOldContainer
            | R::WaitingForStep { .. }
            | R::Retry { .. }
            | R::LeftForNow { .. }
            | R::Changed { .. }
            | R::NotWantedAnyMore
            | R::Duplicate
    )
}

/// Texts for the beginning and the end of an action, stable over the years (behaviour §14). `None`: not worth a line.
fn words(action: &Action) -> Option<(String, Option<String>)> {
    let both = |begins: String, done: String| Some((begins, Some(done)));
    match action {
        Action::Fetch { image, .. } => both(format!("Downloading image '{image}'"), format!("Downloaded image '{image}'")),
        Action::RemoveImage { image } => both(format!("Deleting image '{image}'"), format!("Deleted image '{image}'")),
        Action::RemoveDangling { id } => both(format!("Deleting unused image '{id}'"), format!("Deleted unused image '{id}'")),
        Action::CreateNetwork { name, .. } => Some((format!("Creating network '{name}'"), None)),
        Action::RemoveNetwork { name, .. } => Some((format!("Removing network '{name}'"), None)),
        Action::CreateVolume { name, .. } => Some((format!("Creating volume '{name}'"), None)),
        Action::RemoveVolume { name } => Some((format!("Removing volume '{name}'"), None)),
        Action::TakeLock { force: None, .. } => Some(("Taking update locks".into(), None)),
        Action::TakeLock { force: Some(who), .. } => {
            Some((format!("Taking update locks, breaking the application's on {who}"), None))
        }
        Action::ReleaseLock { .. } => Some(("Releasing update locks".into(), None)),
        Action::Create { spec, .. } => {
            both(format!("Installing service '{}'", spec.name), format!("Started service '{}'", spec.name))
        }
        Action::Start { container } => {
            both(format!("Starting service '{}'", container.name), format!("Started service '{}'", container.name))
        }
        Action::Stop { container } => {
            both(format!("Stopping service '{}'", container.name), format!("Stopped service '{}'", container.name))
        }
        Action::Kill { container } => {
            both(format!("Killing service '{}'", container.name), format!("Killed service '{}'", container.name))
        }
        Action::Rename { container, name } => Some((format!("Renaming service '{}' to '{name}'", container.name), None)),
        Action::SetRestartPolicy { container, .. } => Some((format!("Changing restart policy of '{}'", container.name), None)),
        Action::ClearMarker { .. } | Action::AdoptImage { .. } | Action::Remember { .. } => None,
    }
}
