//! What ends a wait of the poll loop.

use std::time::Duration;

use tokio::sync::watch;

use super::links::PollLinks;
use crate::cloud::PollNow;

/// Why the wait ended.
pub(super) enum Wake {
    /// The next regular poll is due.
    Timer,
    /// Somebody asks for a poll.
    Asked(PollNow),
    /// The loop is to end.
    End,
}

/// Waits for the time to pass or a request to arrive.
pub(super) async fn next_wake(wait: Duration, links: &mut PollLinks) -> Wake {
    tokio::select! {
        biased;
        () = stopped(&mut links.shutdown) => Wake::End,
        asked = links.now.recv() => match asked {
            Some(first) => {
                // Whoever asked meanwhile is served by the same poll.
                let more = std::iter::from_fn(|| links.now.try_recv().ok());
                Wake::Asked(more.fold(first, join))
            }
            None => Wake::End,
        },
        () = tokio::time::sleep(wait) => Wake::Timer,
    }
}

/// Ready when the shutdown fires or can never fire any more.
pub(in crate::cloud) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Two requests as one.
fn join(first: PollNow, second: PollNow) -> PollNow {
    let from = if first.from.split(", ").any(|from| from == second.from) {
        first.from
    } else {
        format!("{}, {}", first.from, second.from)
    };
    PollNow { from, force: first.force || second.force, cancel: first.cancel || second.cancel }
}
