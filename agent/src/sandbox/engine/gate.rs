//! The way every call takes: latency, faults on order, the engine being away; and afterwards whether the reply arrives.

use std::time::Duration;

use super::{ADDRESS, SimEngine};
use crate::engine::{EngineError, Result};
use crate::sandbox::faults::Fault;

/// What becomes of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Arrives,
    IsLost,
    ComesTooLate(Duration),
}

pub(super) fn unreachable() -> EngineError {
    EngineError::Unreachable { address: ADDRESS.into(), cause: "connection refused".into() }
}

fn timed_out(object: &str, limit: Duration) -> EngineError {
    EngineError::TimedOut { object: object.into(), seconds: limit.as_secs() }
}

impl Reply {
    /// Hands the result over, or loses it.
    pub async fn hand_over<T>(self, object: &str, result: Result<T>) -> Result<T> {
        match self {
            Reply::Arrives => result,
            Reply::IsLost => Err(EngineError::Unreachable { address: ADDRESS.into(), cause: "connection reset by peer".into() }),
            Reply::ComesTooLate(limit) => {
                tokio::time::sleep(limit).await;
                Err(timed_out(object, limit))
            }
        }
    }
}

impl SimEngine {
    /// Lets a call in: after its latency, unless a fault or an outage turns it away.
    pub(super) async fn enter(&self, call: &'static str, object: &str) -> Result<Reply> {
        let (latency, fault) = self.with(|world| {
            let latency = Duration::from_micros(world.rng.u64(200..3_000));
            let mut faults = std::mem::take(&mut world.faults);
            let fault = faults.decide(call, object, &mut world.rng);
            world.faults = faults;
            (latency, fault)
        });
        tokio::time::sleep(latency).await;
        let reply = match fault {
            None => Reply::Arrives,
            Some(Fault::Fail(message)) => return Err(EngineError::Failed { object: object.into(), message }),
            Some(Fault::Unreachable) => return Err(unreachable()),
            Some(Fault::Hang { limit }) => {
                tokio::time::sleep(limit).await;
                return Err(timed_out(object, limit));
            }
            Some(Fault::Slow(delay)) => {
                tokio::time::sleep(delay).await;
                Reply::Arrives
            }
            Some(Fault::LostReply) => Reply::IsLost,
            Some(Fault::HangAfter { limit }) => Reply::ComesTooLate(limit),
        };
        self.still_there()?;
        Ok(reply)
    }

    /// # Errors
    /// When the engine is away now.
    pub(super) fn still_there(&self) -> Result<()> {
        let now = tokio::time::Instant::now();
        if self.with(|world| world.is_away(now)) { Err(unreachable()) } else { Ok(()) }
    }
}
