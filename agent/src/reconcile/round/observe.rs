//! What is there: the engine, the lock folders, and what to do while one of them does not answer.

use std::time::Duration;

use holdfast_plan::current::{Current, Locks};
use tokio::time::Instant;

use super::super::outage::{Outage, Pace};
use super::Reconciler;
use crate::engine::EngineError;
use crate::events::{Level, Topic};

/// The slow full look that is the safety net under the engine's events.
const SLOW_LOOK: Duration = Duration::from_secs(300);
/// An engine that is away is asked again and again, soon at first: it may only be starting.
const ENGINE_RETRY: Pace = Pace { first: Duration::from_millis(500), longest: Duration::from_secs(15) };
/// Lock folders that cannot be read will hardly be so a moment later.
const LOCKS_RETRY: Pace = Pace { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
/// What a fault of the lock folders is called.
pub(super) const LOCKS: &str = "update locks";

impl Reconciler {
    /// Looks at the engine and the lock folders; `None` when the engine is away.
    pub(super) async fn observe(&mut self) -> Option<Current> {
        if Instant::now() >= self.next_slow_look {
            self.tools.engine.forget_cache();
            self.device = self.tools.host.device_info().await;
            self.next_slow_look = Instant::now() + SLOW_LOOK;
        }
        if self.events.is_none() {
            match self.subscribe().await {
                Ok(()) => {}
                Err(error) => return self.engine_failed(&error),
            }
        }
        let engine = match self.tools.engine.observe().await {
            Ok(engine) => engine,
            Err(error) => return self.engine_failed(&error),
        };
        if self.away.take().is_some() {
            self.announcer.say_on(
                Topic::State,
                Level::Info,
                None,
                None,
                "the engine answers again".into(),
                self.tools.clock.now().wall_ms,
            );
        }
        let locks = self.observe_locks().await?;
        let host = self.tools.host.state().await;
        Some(Current { engine, locks, host, in_flight: self.running.in_flight() })
    }

    /// Looks at the lock folders. Not knowing who holds a lock, nothing may be stopped: `None` until they can be read.
    async fn observe_locks(&mut self) -> Option<Locks> {
        let result = self.tools.host.locks().await;
        let now = self.tools.clock.now();
        match result {
            Ok(locks) => {
                self.locks_unread = None;
                self.announcer.fault(LOCKS, None, now.wall_ms);
                Some(locks)
            }
            Err(error) => {
                let error = format!("update locks cannot be read, nothing is changed until they can: {error}");
                self.announcer.fault(LOCKS, Some(&error), now.wall_ms);
                self.locks_unread = Some(Outage::again(self.locks_unread.take(), error, LOCKS_RETRY, now.boot_ms));
                self.publish_fault();
                None
            }
        }
    }

    pub(super) async fn subscribe(&mut self) -> Result<(), EngineError> {
        let known = self.engine.replace(self.tools.engine.describe().await?);
        if known.is_none()
            && let Err(error) = self.tools.engine.sweep_copies().await
        {
            log::warn!("what an earlier copy of a volume left cannot be removed now, that is tried at the next start: {error}");
        }
        self.tick();
        self.events = Some(self.tools.engine.events().await?);
        self.tick();
        self.tools.engine.forget_cache();
        Ok(())
    }

    fn engine_failed(&mut self, error: &EngineError) -> Option<Current> {
        let now = self.tools.clock.now();
        if self.away.is_none() {
            let message = format!("{error}; containers go on, the agent keeps trying");
            self.announcer.say_on(Topic::State, Level::Error, None, None, message, now.wall_ms);
        }
        self.events = None;
        self.away = Some(Outage::again(self.away.take(), error.to_string(), ENGINE_RETRY, now.boot_ms));
        self.publish_fault();
        None
    }
}
