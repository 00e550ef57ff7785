//! Where lines come from. Messages are taken in at all times, whatever the connection is at, so that nobody who sends one
//! ever waits for the cloud.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::buffer::Buffer;
use super::line::Line;
use crate::clock::Clock;
use crate::cloud::poll::stopped;
use crate::events::Event;

/// What the loop is connected to.
pub struct LogLinks {
    /// The agent's own messages. The loop ends when all senders are gone.
    pub events: broadcast::Receiver<Event>,
    /// `SUPERVISOR_LOG_CONTROL`: while it is `false`, messages are dropped. Its last value holds when the sender is gone.
    pub enabled: watch::Receiver<bool>,
    /// Ends the loop when it becomes `true` or its sender is gone.
    pub shutdown: watch::Receiver<bool>,
}

/// Why no more is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Switched off; what waited is dropped.
    Off,
    /// The agent ends.
    End,
}

/// The sources and what they brought.
pub(super) struct Intake {
    links: LogLinks,
    clock: Arc<dyn Clock>,
    /// What waits to be sent.
    pub buffer: Buffer,
}

impl Intake {
    pub fn new(links: LogLinks, clock: Arc<dyn Clock>) -> Intake {
        Intake { links, clock, buffer: Buffer::default() }
    }

    /// Waits for the next message and takes it in.
    pub async fn turn(&mut self) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = stopped(&mut self.links.shutdown) => Err(Stop::End),
            () = turned(&mut self.links.enabled, false) => {
                self.buffer.clear();
                Err(Stop::Off)
            }
            event = self.links.events.recv() => match event {
                Ok(event) => {
                    self.buffer.push(Line::of_event(&event, self.clock.now()));
                    Ok(())
                }
                Err(RecvError::Lagged(count)) => {
                    self.buffer.suppress(count);
                    Ok(())
                }
                Err(RecvError::Closed) => Err(Stop::End),
            },
        }
    }

    /// Waits for something else while messages are taken in.
    pub async fn during<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Stop> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return Ok(output),
                turn = self.turn() => turn?,
            }
        }
    }

    /// Waits until there is something to send and its time has come; `false` when the agent ends.
    pub async fn ready(&mut self, not_before: Instant) -> bool {
        loop {
            let turn = if self.buffer.is_empty() {
                self.turn().await
            } else {
                match self.during(sleep_until(not_before)).await {
                    Ok(()) => return true,
                    Err(stop) => Err(stop),
                }
            };
            if let Err(stop) = turn
                && (stop == Stop::End || !self.switched_on().await)
            {
                return false;
            }
        }
    }

    /// Waits, without looking at messages, until it is switched on again; `false` when the agent ends.
    async fn switched_on(&mut self) -> bool {
        tokio::select! {
            biased;
            () = stopped(&mut self.links.shutdown) => false,
            () = turned(&mut self.links.enabled, true) => {
                // What was said meanwhile is not for the cloud.
                self.links.events = self.links.events.resubscribe();
                true
            }
        }
    }

    /// Everything that has been said so far, as text: for the end, when nobody will ask again.
    pub fn last_words(&mut self) -> Vec<u8> {
        loop {
            match self.links.events.try_recv() {
                Ok(event) => self.buffer.push(Line::of_event(&event, self.clock.now())),
                Err(TryRecvError::Lagged(count)) => self.buffer.suppress(count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return self.buffer.take(usize::MAX, self.clock.now()),
            }
        }
    }
}

/// Ready when the switch stands as wanted; never when it does not and nobody is left to turn it.
async fn turned(switch: &mut watch::Receiver<bool>, wanted: bool) {
    if switch.wait_for(|on| *on == wanted).await.is_err() {
        std::future::pending().await
    }
}
