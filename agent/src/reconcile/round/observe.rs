//! What is there: the engine, the lock folders, and what to do while one of them does not answer.

use std::time::Duration;

use holdfast_plan::current::Current;
use tokio::time::Instant;

use super::{Away, ENGINE_RETRY, Reconciler};
use crate::engine::EngineError;
use crate::events::Level;

/// The slow full look that is the safety net under the engine's events.
const SLOW_LOOK: Duration = Duration::from_secs(300);

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
            self.announcer.say(Level::Info, None, None, "the engine answers again".into(), self.tools.clock.now().wall_ms);
        }
        let locks = match self.tools.host.locks().await {
            Ok(locks) => {
                self.host_error = None;
                self.announcer.fault("update locks", None, self.tools.clock.now().wall_ms);
                locks
            }
            Err(error) => {
                // Not knowing who holds a lock, nothing may be stopped: wait for the folder to be readable again.
                let error = format!("update locks cannot be read, nothing is changed until they can: {error}");
                self.announcer.fault("update locks", Some(&error), self.tools.clock.now().wall_ms);
                self.host_error = Some(error);
                self.publish_fault();
                return None;
            }
        };
        let host = self.tools.host.state().await;
        Some(Current { engine, locks, host, in_flight: self.running.in_flight() })
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

    pub(super) fn engine_failed(&mut self, error: &EngineError) -> Option<Current> {
        let now = self.tools.clock.now();
        let wait = self.away.as_ref().map_or(ENGINE_RETRY.0, |away| (away.wait * 2).min(ENGINE_RETRY.1));
        let since_boot_ms = self.away.as_ref().map_or(now.boot_ms, |away| away.since_boot_ms);
        if self.away.is_none() {
            let message = format!("{error}; containers go on, the agent keeps trying");
            self.announcer.say(Level::Error, None, None, message, now.wall_ms);
        }
        self.events = None;
        self.away = Some(Away { error: error.to_string(), since_boot_ms, wait });
        self.publish_fault();
        None
    }
}
