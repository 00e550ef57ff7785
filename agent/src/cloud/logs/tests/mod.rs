//! The log stream: against a scripted cloud under paused time, and against real sockets.

mod paced;
mod script;
mod sockets;

use std::sync::Arc;

use holdfast_plan::policy::Now;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::{LogLinks, LogStreamer, LogTiming, LogTransport};
use crate::clock::Clock;
use crate::events::{Event, Level};

/// When the tests happen, ms since 1970.
const WALL_MS: i64 = 1_800_000_000_000;

/// A clock that stands.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Now {
        Now { wall_ms: Some(WALL_MS), machine_ms: WALL_MS, boot_ms: 1_000 }
    }
}

/// A running loop and the other ends of its links.
struct Bench {
    events: broadcast::Sender<Event>,
    enabled: watch::Sender<bool>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Bench {
    fn start(transport: Arc<dyn LogTransport>, timing: LogTiming) -> Bench {
        let (events, heard) = broadcast::channel(16);
        let (enabled, on) = watch::channel(true);
        let (shutdown, down) = watch::channel(false);
        let streamer = LogStreamer::new(timing, transport, Arc::new(Standing), fastrand::Rng::with_seed(1));
        let task = tokio::spawn(streamer.run(LogLinks { events: heard, enabled: on, shutdown: down }));
        Bench { events, enabled, shutdown, task }
    }

    fn say(&self, message: &str) {
        self.say_at(Level::Info, message);
    }

    fn say_at(&self, level: Level, message: &str) {
        let event = Event::note(level, message.into(), Some(WALL_MS));
        // The loop may have ended on purpose.
        let _ = self.events.send(event);
    }
}
