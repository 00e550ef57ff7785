//! Answers without an end: how many there may be at once, and when they end.
//!
//! A handler that gives such an answer returns as soon as it begins, so the limit for an answer is none for it. What bounds it
//! is the reader: while it takes nothing, nothing is made for it, and after a while its connection is closed (`stall`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answer::{Pieces, Refusal};
use super::caller::Caller;

/// Most of them at once: a part of the connections, so that there is always one for a question.
const MOST: usize = 16;

/// Places for such answers.
#[derive(Clone)]
pub struct Streams {
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Streams {
    /// Places that are given up once `stop` is true or its sender is gone.
    pub fn new(stop: watch::Receiver<bool>) -> Streams {
        Streams { places: Arc::new(Semaphore::new(MOST)), stop }
    }

    /// Takes a place, if there is one. Services leave half of them to whoever wants to know what they are at.
    pub(super) fn open(&self, caller: &Caller) -> Result<Place, Refusal> {
        if matches!(caller, Caller::Service { .. }) && self.places.available_permits() <= MOST / 2 {
            let why = "half of the places for following events and logs are taken, and the others are not for services";
            return Err(Refusal::unavailable(why));
        }
        let taken = self.places.clone().try_acquire_owned();
        let full =
            |_| Refusal::unavailable(format!("{MOST} clients follow events or logs already; end one of them and try again"));
        Ok(Place { _taken: taken.map_err(full)?, stop: self.stop.clone() })
    }
}

/// A place, until it is dropped.
pub(super) struct Place {
    _taken: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
}

impl Place {
    /// Waits for the agent's end.
    pub async fn ended(&mut self) {
        // An error means that the sender is gone: the same.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Makes pieces of an answer for as long as there is a reader.
pub(super) trait Source: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send + '_>>;
}

/// The body of an answer from its source.
pub(super) fn pieces(source: Box<dyn Source>) -> Pieces {
    Box::pin(stream::unfold(source, |mut source| async move {
        let piece = source.next().await?;
        Some((Ok::<_, io::Error>(Frame::data(piece)), source))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_leave_half_of_the_places_to_others() {
        let streams = Streams::new(watch::Sender::new(false).subscribe());
        let service = Caller::Service { app: 5, service: "main".into(), controls_host: true };
        let mut taken: Vec<Place> = (0..MOST / 2).map(|_| streams.open(&service).unwrap()).collect();
        assert!(streams.open(&service).is_err_and(|refusal| refusal.message.starts_with("half of")));
        taken.extend((0..MOST / 2).map(|_| streams.open(&Caller::Operator).unwrap()));
        assert!(streams.open(&Caller::Operator).is_err());
        taken.truncate(MOST / 2 - 1);
        assert!(streams.open(&service).is_ok());
    }
}
