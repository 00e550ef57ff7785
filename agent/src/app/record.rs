//! From what the loop shows and says to what the store keeps: events, and what ran when the device settled.
//!
//! Flash wears by being written. Events wait for a commit that is made anyway; only what finds none is written by itself,
//! together and seldom. While nothing happens nothing is written.

use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::current::Container;
use holdfast_plan::target::{App, Release};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use crate::cloud::report::{Picture, service_status};
use crate::events::{Event, Level};
use crate::reconcile::{Phase, View};
use crate::store::{Change, Store};

/// A device that is settled for so long has settled: what still changes at once belongs to one snapshot.
const SETTLED_FOR: Duration = Duration::from_millis(500);
/// How long events wait for a commit to ride with.
const EVENTS_WAIT: Duration = Duration::from_secs(600);
/// The same for errors.
const ERRORS_WAIT: Duration = Duration::from_secs(60);
/// Idle time after which the file may be made smaller.
const QUIET: Duration = Duration::from_secs(300);
/// Writes of its own that are free at first, and how often one more is: a service that comes and goes all the time causes
/// no more than these.
const WRITES_AT_FIRST: u32 = 6;
const WRITE_EVERY: Duration = Duration::from_secs(600);

/// What the recorder works with.
pub(super) struct Recorder {
    pub store: Arc<dyn Store>,
    pub views: watch::Receiver<Arc<View>>,
    pub events: broadcast::Receiver<Event>,
    pub shutdown: watch::Receiver<bool>,
}

/// Why the recorder woke up.
enum Woke {
    Event(Event),
    Missed(u64),
    View,
    Due,
    Ending,
    Ended,
}

/// What is due when.
struct Due {
    settled: Option<Instant>,
    events: Option<Instant>,
    tidy: Option<Instant>,
    budget: Budget,
    /// What was there when the device last settled.
    last: Option<String>,
}

impl Recorder {
    /// Runs until the agent ends and every event has been said.
    pub async fn run(mut self) {
        let budget = Budget { left: WRITES_AT_FIRST, next: Instant::now() + WRITE_EVERY };
        let mut due = Due { settled: None, events: None, tidy: None, budget, last: None };
        due.look(&self.views.borrow_and_update().phase, Instant::now());
        let mut ending = false;
        loop {
            match self.wait(&due, ending).await {
                Woke::Event(event) => {
                    self.store.note(&event);
                    due.noted(event.level, Instant::now());
                }
                Woke::Missed(count) => log::debug!("{count} events came too fast to be kept"),
                Woke::View => due.look(&self.views.borrow_and_update().phase, Instant::now()),
                Woke::Due => self.act(&mut due).await,
                Woke::Ending => ending = true,
                Woke::Ended => break,
            }
        }
        if let Err(error) = self.store.flush().await {
            log::warn!("the last events are not kept: {error}");
        }
    }

    /// Sleeps until something is to be noted or written; while the agent ends, only its last words count.
    async fn wait(&mut self, due: &Due, ending: bool) -> Woke {
        let next = [due.settled, due.events, due.tidy].into_iter().flatten().min();
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Woke::Event(event),
                Err(RecvError::Lagged(count)) => Woke::Missed(count),
                // The loop has ended: nothing more will be said.
                Err(RecvError::Closed) => Woke::Ended,
            },
            _ = self.shutdown.wait_for(|down| *down), if !ending => Woke::Ending,
            changed = self.views.changed(), if !ending => changed.map_or(Woke::Ending, |()| Woke::View),
            () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() && !ending => Woke::Due,
        }
    }

    async fn act(&self, due: &mut Due) {
        let now = Instant::now();
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(due.settled) {
            due.settled = None;
            due.tidy = Some(now + QUIET);
            let state = state(&self.views.borrow());
            if due.last.as_ref() == Some(&state) && due.events.is_none() {
                return;
            }
            if let Some(later) = due.budget.spend(now) {
                due.settled = Some(later);
                return;
            }
            self.write(due, Some(state)).await;
        } else if is_over(due.events) {
            match due.budget.spend(now) {
                Some(later) => due.events = Some(later),
                None => self.write(due, None).await,
            }
        } else if is_over(due.tidy) {
            due.tidy = None;
            if let Err(error) = self.store.tidy().await {
                log::debug!("{error}");
            }
        }
    }

    /// Writes a snapshot, if there is one, and the events that wait.
    async fn write(&self, due: &mut Due, state: Option<String>) {
        due.events = None;
        let written = match &state {
            Some(state) => self.store.commit(vec![Change::Snapshot { state: state.clone() }]).await,
            None => Ok(()),
        };
        // After a snapshot that was new this finds nothing: the events went along with it.
        let written = match written {
            Ok(()) => self.store.flush().await,
            failed => failed,
        };
        match written {
            Ok(()) => due.last = state.or(due.last.take()),
            Err(error) => {
                log::debug!("what happened is kept later: {error}");
                due.events = Some(Instant::now() + EVENTS_WAIT);
            }
        }
    }
}

impl Due {
    fn look(&mut self, phase: &Phase, now: Instant) {
        match phase {
            Phase::Settled => {
                self.settled.get_or_insert(now + SETTLED_FOR);
            }
            _ => self.settled = None,
        }
    }

    fn noted(&mut self, level: Level, now: Instant) {
        let wait = if level == Level::Error { ERRORS_WAIT } else { EVENTS_WAIT };
        let at = now + wait;
        self.events = Some(self.events.map_or(at, |known| known.min(at)));
    }
}

/// How many writes of its own the recorder may still make.
struct Budget {
    left: u32,
    next: Instant,
}

impl Budget {
    /// Takes one, or says when there is one again.
    fn spend(&mut self, now: Instant) -> Option<Instant> {
        while self.next <= now {
            self.next += WRITE_EVERY;
            self.left = (self.left + 1).min(WRITES_AT_FIRST);
            if self.left == WRITES_AT_FIRST {
                self.next = now + WRITE_EVERY;
            }
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some(self.next),
        }
    }
}

/// What runs, without anything that changes by itself: two times of rest with the same services are the same.
fn state(view: &View) -> String {
    let mut apps = Map::new();
    for app in view.target.iter().flat_map(|target| target.apps.values()).filter(|app| !app.is_host) {
        let settled = view.memory.settled.get(&app.uuid).map(|settled| &settled.commit);
        let services = app.release.iter().flat_map(|release| services(view, app, release)).collect::<Map<_, _>>();
        let value = json!({ "id": app.id, "name": app.name, "settled": settled, "services": services });
        apps.insert(app.uuid.clone(), value);
    }
    json!({ "os": view.device.os_version, "apps": apps }).to_string()
}

fn services(view: &View, app: &App, release: &Release) -> Vec<(String, Value)> {
    let target = view.target.as_deref();
    let service = |(name, wanted): (&String, &holdfast_plan::target::Service)| {
        let of_it = |c: &&Container| c.app_id == app.id && c.service == *name;
        let container = view.current.engine.containers.iter().filter(of_it).max_by_key(|c| (c.is_up(), c.created_ms));
        let status = target.map(|target| {
            let picture =
                Picture { target, current: &view.current, memory: &view.memory, in_flight: &[], rejected: &view.rejected };
            service_status(&picture, app, release, wanted).word()
        });
        let value = json!({
            "status": status,
            "commit": container.map_or(release.commit.as_str(), |container| container.commit.as_str()),
            "image": wanted.image.to_string(),
            "container": container.map(|container| &container.id),
        });
        (name.clone(), value)
    };
    release.services.iter().map(service).collect()
}

#[cfg(test)]
mod tests;
