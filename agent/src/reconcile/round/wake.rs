//! Between the rounds: sleeping until something asks for attention, and ending.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::super::Request;
use super::super::hold;
use super::super::running::Ended;
use super::Reconciler;
use crate::engine::EngineEvent;
use crate::events::Level;
use crate::host::LockChanges;

/// Events that come together are answered by one look.
const EVENT_PAUSE: Duration = Duration::from_millis(40);
/// Progress of pulls is shown at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);
/// How long running steps may take to end when the agent is asked to.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the loop woke up.
enum Woke {
    Look,
    Event,
    Ended(Box<Ended>),
    Request(Request),
    Target,
    EventsClosed,
    Progress,
    Tick,
    Shutdown,
}

impl Reconciler {
    /// Runs until the shutdown channel says so, then lets running steps end within [`DRAIN`]. Containers go on.
    pub async fn run(mut self) {
        let mut locks = self.tools.host.lock_changes();
        self.resume_trials().await;
        if let Some(problem) = self.tools.host.settle().await {
            self.announcer.say(Level::Error, None, None, problem, self.tools.clock.now().wall_ms);
        }
        let mut look_at = Some(Instant::now());
        loop {
            self.tick();
            #[cfg(feature = "sandbox")]
            super::super::stuck::if_asked_for().await;
            if look_at.is_some_and(|at| at <= Instant::now()) {
                let begun = Instant::now();
                look_at = self.round().await;
                log::trace!("a round took {} us", begun.elapsed().as_micros());
                continue;
            }
            match self.wait(&mut locks, look_at).await {
                Woke::Look => look_at = Some(Instant::now()),
                Woke::Event => {
                    let soon = Instant::now() + EVENT_PAUSE;
                    look_at = Some(look_at.map_or(soon, |at| at.min(soon)));
                }
                Woke::Ended(ended) => {
                    self.finish(*ended).await;
                    look_at = Some(Instant::now());
                }
                Woke::Request(request) => {
                    self.accept(request).await;
                    look_at = Some(Instant::now());
                }
                Woke::Target => {
                    self.accept_target();
                    look_at = Some(Instant::now());
                }
                Woke::EventsClosed => {
                    self.events = None;
                    look_at = Some(Instant::now());
                }
                Woke::Progress => self.publish_progress(),
                Woke::Tick => {}
                Woke::Shutdown => return self.drain().await,
            }
        }
    }

    /// A sign of life: what the watchdog and health go by. Also between calls of the engine, each of which may take its
    /// whole limit: an engine that is slow or away is not a stuck loop.
    pub(super) fn tick(&self) {
        self.channels.tick.store(self.tools.clock.now().boot_ms, Ordering::Relaxed);
    }

    /// Sleeps until something asks for attention.
    async fn wait(&mut self, locks: &mut LockChanges, look_at: Option<Instant>) -> Woke {
        let tick = Instant::now() + self.channels.tick_every;
        let progressed = self.running.progressed();
        let next_event = async {
            match &mut self.events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ends(&mut self.channels.shutdown) => Woke::Shutdown,
            ended = self.running.ended() => Woke::Ended(Box::new(ended)),
            request = self.channels.requests.recv() => request.map_or(Woke::Shutdown, Woke::Request),
            changed = self.channels.target.changed() => changed.map_or(Woke::Shutdown, |()| Woke::Target),
            Some(()) = locks.next() => Woke::Look,
            () = hold::abandoned(self.hold.as_ref()) => Woke::Look,
            event = next_event => match event {
                Some(EngineEvent::Changed) => Woke::Event,
                Some(EngineEvent::Closed) | None => Woke::EventsClosed,
            },
            () = async { sleep_until(look_at.unwrap_or(tick)).await }, if look_at.is_some() => Woke::Look,
            () = async { progressed.notified().await; tokio::time::sleep(PROGRESS_PAUSE).await; } => Woke::Progress,
            () = sleep_until(tick) => Woke::Tick,
        }
    }

    /// Lets running steps end; pulls are given up, they cost nothing to begin again.
    async fn drain(mut self) {
        self.running.cancel_pulls();
        let deadline = Instant::now() + DRAIN;
        self.end_steps(deadline).await;
        // What was stopped for a copy is not left so until the next start: whoever copies has gone with the API.
        if !self.memory.held.is_empty() && self.running.is_empty() {
            self.hold = None;
            self.start_held().await;
            self.end_steps(deadline).await;
        }
    }

    async fn end_steps(&mut self, deadline: Instant) {
        while !self.running.is_empty() {
            tokio::select! {
                ended = self.running.ended() => self.finish(ended).await,
                () = sleep_until(deadline) => {
                    log::warn!("ending with {} step(s) unfinished; the next start takes them up", self.running.doing().len());
                    return;
                }
            }
        }
    }
}

/// Ends when the agent is asked to end, or when nobody is left who could ask.
async fn ends(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    // An error means that the sender is gone: the same.
    let _ = shutdown.wait_for(|down| *down).await;
}
