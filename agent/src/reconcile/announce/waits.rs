//! Which waits were said already.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_plan::plan::{Plan, Reason, Wait};
use tokio::time::Instant;

use crate::events::Level;

/// A wait that belongs to the ordinary course of an update is worth a word when it lasts this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A wait that comes and goes is said again after this at the earliest.
const AGAIN: Duration = Duration::from_secs(60);

/// The waits of the last rounds, by app, service and what they are about.
#[derive(Default)]
pub(super) struct Waits(BTreeMap<String, Told>);

struct Told {
    /// Since when it stands without a break; `None` when it is over.
    since: Option<Instant>,
    /// When it was said for the last time.
    said: Option<Instant>,
    /// Whether it was said since it began.
    known: bool,
    ordinary: bool,
}

impl Told {
    /// When it is to be said; `None` when it was, or is over.
    fn due(&self) -> Option<Instant> {
        let since = self.since.filter(|_| !self.known)?;
        let patient = if self.ordinary { since + PATIENCE } else { since };
        Some(self.said.map_or(patient, |said| patient.max(said + AGAIN)))
    }
}

impl Waits {
    /// Takes note of a round's waits and returns those that are to be said now.
    pub fn take<'a>(&mut self, plan: &'a Plan, now: Instant) -> Vec<(Level, &'a Wait)> {
        let standing: BTreeMap<String, &Wait> =
            plan.waiting.iter().filter(|wait| !is_a_failure(wait)).map(|wait| (key(wait), wait)).collect();
        for (key, told) in &mut self.0 {
            if !standing.contains_key(key) {
                (told.since, told.known) = (None, false);
            }
        }
        self.0.retain(|_, told| told.since.is_some() || told.said.is_some_and(|said| said + AGAIN > now));
        let mut new = Vec::new();
        for (key, wait) in standing {
            let ordinary = is_ordinary(wait);
            let told = self.0.entry(key).or_insert(Told { since: None, said: None, known: false, ordinary });
            told.since.get_or_insert(now);
            if told.due().is_some_and(|due| due <= now) {
                (told.said, told.known) = (Some(now), true);
                new.push((level(wait), wait));
            }
        }
        new
    }

    /// When a wait that stands is to be said without anything having changed.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.values().filter_map(Told::due).min()
    }

    /// A new target: what is over may be said again at once.
    pub fn begin_anew(&mut self) {
        self.0.retain(|_, told| told.since.is_some());
    }
}

/// Retries were said as failures.
fn is_a_failure(wait: &Wait) -> bool {
    matches!(wait.reason, Reason::Retry { .. } | Reason::LeftForNow { .. })
}

/// Waits that every update goes through.
fn is_ordinary(wait: &Wait) -> bool {
    use Reason as R;
    matches!(
        wait.reason,
        R::WaitingForImages { .. }
            | R::WaitingForTurn { .. }
            | R::WaitingForDependency { .. }
            | R::WaitingForNetwork { .. }
            | R::WaitingForVolume { .. }
            | R::WaitingForOldContainer
            | R::WaitingForStep { .. }
            | R::Changed { .. }
            | R::Ordered { .. }
            | R::RebootPending { .. }
            | R::NotWantedAnyMore
            | R::Duplicate
    )
}

fn level(wait: &Wait) -> Level {
    match wait.reason {
        Reason::WaitingForImages { .. }
        | Reason::WaitingForTurn { .. }
        | Reason::WaitingForHandOver { .. }
        | Reason::WaitingForHealth { .. } => Level::Info,
        Reason::LeftOut { .. } | Reason::VariablePassedOver { .. } => Level::Warning,
        _ if wait.reason.is_note() => Level::Info,
        _ => Level::Warning,
    }
}

/// What a wait is about. The list of images grows shorter while it stands, that is no news.
fn key(wait: &Wait) -> String {
    let service = wait.service.as_deref().unwrap_or("");
    match &wait.reason {
        Reason::WaitingForImages { .. } => format!("{}/{service}: images", wait.app),
        reason => format!("{}/{service}: {reason}", wait.app),
    }
}
