//! One connection: its opening, the writing end of its body, and what became of it.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::pack::Pack;
use super::{LogBody, LogTiming};
use crate::cloud::CloudError;

/// The answer to a stream, still to come.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), CloudError>> + Send + 'a>>;

/// Why a connection failed.
pub(super) struct Failure {
    /// What happened.
    pub text: String,
    /// How long the cloud asks to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), retry_after: None }
    }

    /// An answer that came before the stream was at its end.
    pub fn answered(answer: Result<(), CloudError>) -> Failure {
        match answer {
            Ok(()) => Failure::new("the cloud ended the stream"),
            Err(error) => Failure { text: error.to_string(), retry_after: error.retry_after() },
        }
    }
}

/// The writing end of a body. One piece at a time waits in it: what the cloud does not take yet stays in the buffer.
pub(super) struct Feed {
    pieces: mpsc::Sender<Bytes>,
    pack: Pack,
}

/// A body, its writing end, and what is ready when the body is asked for the first time.
pub(super) fn open() -> (Feed, LogBody, oneshot::Receiver<()>) {
    let (pieces, taken) = mpsc::channel(1);
    let (asked, begun) = oneshot::channel();
    (Feed { pieces, pack: Pack::new() }, LogBody::new(taken, asked), begun)
}

impl Feed {
    /// Waits for the time of the next piece and for a place for it. `false`: the body is not read any more.
    pub async fn ready(&self, not_before: Instant) -> bool {
        sleep_until(not_before).await;
        self.pieces.reserve().await.is_ok()
    }

    /// Packs a text and hands it over, once there is a place. `false`: the body is not read any more.
    pub fn send(&mut self, text: &[u8]) -> bool {
        // Packing into memory does not fail; a packer that did could not go on with this body.
        self.pack.piece(text).is_ok_and(|piece| self.pieces.try_send(piece).is_ok())
    }

    /// Ends the body with a last text and hears the answer out. What comes of it changes nothing any more.
    pub async fn close(self, text: Vec<u8>, answer: Answer<'_>, limit: Duration) {
        let Feed { pieces, pack } = self;
        let Ok(last) = pack.last(&text) else { return };
        let end = async move {
            if let Ok(place) = pieces.reserve().await {
                place.send(last);
            }
        };
        match timeout(limit, async { tokio::join!(end, answer).1 }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::debug!("log stream to the cloud ended: {error}"),
            Err(_) => log::debug!("log stream to the cloud ended: no answer within {} s", limit.as_secs_f32()),
        }
    }
}

/// Waits until the head of the request is on its way and the cloud has had its time to refuse.
pub(super) async fn opened(answer: &mut Answer<'_>, begun: oneshot::Receiver<()>, timing: LogTiming) -> Result<(), Failure> {
    let settled = async {
        match timeout(timing.stall, begun).await {
            Ok(Ok(())) => {
                sleep(timing.grace).await;
                return Ok(());
            }
            // The body is gone before it was asked for: the answer is about to say why.
            Ok(Err(_)) => sleep(timing.farewell).await,
            Err(_) => {}
        }
        Err(Failure::new("no connection comes about"))
    };
    tokio::select! {
        biased;
        answer = &mut *answer => Err(Failure::answered(answer)),
        settled = settled => settled,
    }
}

/// Why a body is not read any more: the answer is about to say it.
pub(super) async fn broken(answer: &mut Answer<'_>, limit: Duration) -> Failure {
    match timeout(limit, answer).await {
        Ok(answer) => Failure::answered(answer),
        Err(_) => Failure::new("the connection takes nothing any more"),
    }
}
