//! The body of the request: pieces as they come, without an end until the stream is closed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

/// A body that says when it is asked for the first time: then the connection stands and the head is on its way.
#[derive(Debug)]
pub struct LogBody {
    pieces: mpsc::Receiver<Bytes>,
    asked: Option<oneshot::Sender<()>>,
}

impl LogBody {
    pub(super) fn new(pieces: mpsc::Receiver<Bytes>, asked: oneshot::Sender<()>) -> LogBody {
        LogBody { pieces, asked: Some(asked) }
    }
}

impl Stream for LogBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(asked) = self.asked.take() {
            // Whoever waited for it may have given up.
            let _ = asked.send(());
        }
        self.pieces.poll_recv(context).map(|piece| piece.map(Ok))
    }
}
