//! What happens by itself as time passes: programs end, the engine starts them again, health checks speak, the engine dies.

use std::time::Duration;

use holdfast_plan::container::RestartPolicy;
use holdfast_plan::current::{ContainerState, Health};
use tokio::time::Instant;

use super::containers::KILLED;
use super::observer::Mutation;
use super::world::{Away, Held, World};

/// How an engine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It does not answer; containers go on.
    Silent,
    /// It is stopped in good order and started: policies bring back what they promise.
    Restart,
    /// It is killed: containers die with it, and those with `unless-stopped` stay down (seen on Docker 20.10).
    Crash,
}

/// First wait before the engine starts a container again; doubles each time.
const FIRST_RESTART: Duration = Duration::from_millis(100);

/// Longest wait.
const LAST_RESTART: Duration = Duration::from_secs(60);

/// A program that ran this long starts from the first wait again.
const GOOD_RUN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Stopped(i64),
    Ended(i64),
    Again,
    Health,
}

impl Held {
    fn next(&self) -> Option<(Instant, Event)> {
        let stop = self.due.stop.map(|(at, code)| (at, Event::Stopped(code)));
        let exit = self.due.exit.map(|(at, code)| (at, Event::Ended(code)));
        let restart = self.due.restart.map(|at| (at, Event::Again));
        let health = self.due.health.last().map(|(at, _)| (*at, Event::Health));
        [stop, exit, restart, health].into_iter().flatten().min()
    }

    /// Whether the engine starts it again after it ended.
    fn comes_back(&self) -> bool {
        match self.spec.options.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => self.exit_code != 0 && !self.stopped_by_hand,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => !self.stopped_by_hand,
        }
    }
}

impl World {
    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Instant> {
        self.containers.values().filter_map(|held| self.next_of(held)).map(|(at, _)| at).min()
    }

    /// An engine that is away starts nothing.
    fn next_of(&self, held: &Held) -> Option<(Instant, Event)> {
        held.next().filter(|(_, event)| self.away.is_none() || *event != Event::Again)
    }

    /// Lets everything happen that is due.
    pub fn advance(&mut self, now: Instant) {
        self.is_away(now);
        while let Some((at, _, id, event)) = self.first_due(now) {
            match event {
                Event::Stopped(code) => self.end_container(&id, at, code, true),
                Event::Ended(code) => self.end_container(&id, at, code, false),
                Event::Again => self.start_again(&id, at),
                Event::Health => self.next_verdict(&id),
            }
        }
    }

    fn first_due(&self, now: Instant) -> Option<(Instant, u64, String, Event)> {
        let due = self.containers.values().filter_map(|held| {
            let (at, event) = self.next_of(held)?;
            (at <= now).then(|| (at, held.sequence, held.id.clone(), event))
        });
        due.min()
    }

    /// The main process of a container ends.
    pub fn end_container(&mut self, id: &str, at: Instant, code: i64, told: bool) {
        let wall_ms = self.wall_ms();
        let Some(held) = self.containers.get_mut(id) else { return };
        // A program that ends by itself while it is being stopped was stopped.
        let told = told || held.due.stop.is_some();
        held.end(wall_ms, code);
        if held.comes_back() {
            if held.due.since.is_some_and(|since| at.saturating_duration_since(since) >= GOOD_RUN) {
                held.due.attempts = 0;
            }
            let wait = FIRST_RESTART.saturating_mul(1 << held.due.attempts.min(16)).min(LAST_RESTART);
            held.due.attempts += 1;
            held.due.restart = Some(at + wait);
            held.state = ContainerState::Restarting;
        }
        self.note_container(id, if told { Mutation::ContainerStopped } else { Mutation::ContainerDied });
    }

    fn start_again(&mut self, id: &str, at: Instant) {
        let wall_ms = self.wall_ms();
        let Some(held) = self.containers.get_mut(id) else { return };
        held.begin(at, wall_ms);
        held.restart_count += 1;
        self.note_container(id, Mutation::ContainerRestarted);
    }

    fn next_verdict(&mut self, id: &str) {
        let Some(held) = self.containers.get_mut(id) else { return };
        let verdict = held.due.health.pop().map(|(_, health)| health);
        if verdict != held.health {
            held.health = verdict.or(Some(Health::Starting));
            self.note_container(id, Mutation::HealthChanged);
        }
    }

    /// The engine goes down, for so long or until it is called back.
    pub fn go_down(&mut self, outage: Outage, now: Instant, lasting: Option<Duration>) {
        self.away = Some(Away { until: lasting.map(|lasting| now + lasting) });
        self.connection += 1;
        if outage == Outage::Silent {
            return;
        }
        let back = lasting.map_or(now, |lasting| now + lasting);
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            self.take_down(&id, outage, back);
        }
    }

    /// One container goes down with the engine, and is started with it if its policy (and the kind of outage) says so.
    fn take_down(&mut self, id: &str, outage: Outage, back: Instant) {
        let wall_ms = self.wall_ms();
        let Some(held) = self.containers.get_mut(id) else { return };
        let ran = held.runs() || held.state == ContainerState::Restarting;
        if ran {
            let code = if outage == Outage::Crash { KILLED } else { 0 };
            held.end(wall_ms, code);
        }
        let up_again = match held.spec.options.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always => held.state == ContainerState::Exited,
            RestartPolicy::OnFailure => ran && !held.stopped_by_hand,
            RestartPolicy::UnlessStopped => ran && !held.stopped_by_hand && outage == Outage::Restart,
        };
        if up_again {
            held.state = ContainerState::Restarting;
            held.stopped_by_hand = false;
            held.due.restart = Some(back);
        }
        if ran {
            self.note_container(id, Mutation::ContainerDied);
        }
    }
}
