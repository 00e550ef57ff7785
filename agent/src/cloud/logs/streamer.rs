//! The loop: opens a connection when there is something to say, feeds it, closes it when there is nothing more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connection::{Answer, Failure, Feed, broken, open, opened};
use super::intake::{Intake, Stop};
use super::{LogLinks, LogTiming, LogTransport};
use crate::clock::Clock;
use crate::cloud::Retry;

/// Text that is packed into one piece, bytes, about.
const PIECE_BYTES: usize = 32 * 1024;

/// The loop that streams the agent's messages to the cloud.
pub struct LogStreamer {
    timing: LogTiming,
    transport: Arc<dyn LogTransport>,
    clock: Arc<dyn Clock>,
    retry: Retry,
    /// The last failure, so that one that lasts is logged once.
    failing: Option<String>,
}

/// What became of a connection.
enum Ended {
    /// It was closed, or never used.
    Closed,
    /// The agent ends.
    Stopping,
    Failed(Failure),
}

/// Why feeding ended.
enum Fed {
    Idle,
    Stop(Stop),
    Failed(Failure),
}

impl LogStreamer {
    /// Makes the loop; nothing is connected before there is a message.
    pub fn new(timing: LogTiming, transport: Arc<dyn LogTransport>, clock: Arc<dyn Clock>, rng: fastrand::Rng) -> LogStreamer {
        let retry = Retry::starting_with(timing.retry_first, timing.retry_longest, rng);
        LogStreamer { timing, transport, clock, retry, failing: None }
    }

    /// Streams until the events end or the shutdown fires; then what was said is still sent if a connection stands.
    pub async fn run(mut self, links: LogLinks) {
        let mut intake = Intake::new(links, self.clock.clone());
        let mut not_before = Instant::now();
        while intake.ready(not_before).await {
            match self.stream(&mut intake).await {
                Ended::Closed => {}
                Ended::Stopping => return,
                Ended::Failed(failure) => not_before = Instant::now() + self.failed(failure),
            }
        }
    }

    /// One connection, from its opening to its end.
    async fn stream(&mut self, intake: &mut Intake) -> Ended {
        let transport = self.transport.clone();
        let (mut feed, body, begun) = open();
        let mut answer = transport.send(body);
        match intake.during(opened(&mut answer, begun, self.timing)).await {
            Ok(Ok(())) => self.succeeded(),
            Ok(Err(failure)) => return Ended::Failed(failure),
            Err(Stop::Off) => return Ended::Closed,
            Err(Stop::End) => return Ended::Stopping,
        }
        let limit = self.timing.farewell;
        match self.feed(&mut feed, &mut answer, intake).await {
            Fed::Failed(failure) => Ended::Failed(failure),
            Fed::Idle => match intake.during(feed.close(Vec::new(), answer, limit)).await {
                Ok(()) | Err(Stop::Off) => Ended::Closed,
                Err(Stop::End) => Ended::Stopping,
            },
            Fed::Stop(Stop::Off) => {
                feed.close(Vec::new(), answer, limit).await;
                Ended::Closed
            }
            Fed::Stop(Stop::End) => {
                feed.close(intake.last_words(), answer, limit).await;
                Ended::Stopping
            }
        }
    }

    /// Sends what comes until nothing comes for a while.
    async fn feed(&self, feed: &mut Feed, answer: &mut Answer<'_>, intake: &mut Intake) -> Fed {
        let mut next_piece = Instant::now();
        let mut idle_at = next_piece + self.timing.idle;
        let mut stalled_at = next_piece + self.timing.stall;
        loop {
            let waiting = !intake.buffer.is_empty();
            tokio::select! {
                biased;
                answer = &mut *answer => return Fed::Failed(Failure::answered(answer)),
                ready = feed.ready(next_piece), if waiting => {
                    if !ready || !feed.send(&intake.buffer.take(PIECE_BYTES, self.clock.now())) {
                        return Fed::Failed(broken(answer, self.timing.farewell).await);
                    }
                    next_piece = Instant::now() + self.timing.flush;
                    stalled_at = Instant::now() + self.timing.stall;
                }
                turn = intake.turn() => match turn {
                    Ok(()) => {
                        idle_at = Instant::now() + self.timing.idle;
                        // The clock of a stall begins to run with the first line that waits.
                        stalled_at = if waiting { stalled_at } else { Instant::now() + self.timing.stall };
                    }
                    Err(stop) => return Fed::Stop(stop),
                },
                () = sleep_until(stalled_at), if waiting => {
                    let seconds = self.timing.stall.as_secs();
                    return Fed::Failed(Failure::new(format!("the cloud took nothing for {seconds} s")));
                }
                () = sleep_until(idle_at), if !waiting => return Fed::Idle,
            }
        }
    }

    fn succeeded(&mut self) {
        if self.failing.take().is_some() {
            log::info!("the log stream to the cloud stands again");
        }
        self.retry.succeeded();
    }

    /// Counts a failure and says how long to wait.
    fn failed(&mut self, failure: Failure) -> Duration {
        let wait = self.retry.failed(failure.retry_after);
        let text = format!("log stream to the cloud failed: {}; messages wait, tried again", failure.text);
        if self.failing.as_ref() == Some(&failure.text) {
            log::debug!("{text} in {} s", wait.as_secs());
        } else {
            log::warn!("{text} in {} s and then less and less often", wait.as_secs());
            self.failing = Some(failure.text);
        }
        wait
    }
}
