//! Tells when locks change, without looking all the time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use inotify::{EventOwned, EventStream, Inotify};
use tokio::time::Instant;

use super::LockRoot;
use super::watched::{Meaning, Watched};

/// Least time between two looks at what the kernel has to say: an application that makes files without end in its folder
/// costs no more than this.
const QUIET_MS: u64 = 100;

/// Time between looks where the kernel cannot tell (no inotify, or too many folders to watch them all).
const POLL_MS: u64 = 2000;

/// How many events are read in one go; the kernel's queue holds 16,384 by default.
const MAX_EVENTS: usize = 20_000;

/// Size of the buffer for events: some hundred of them.
const BUFFER_BYTES: usize = 8192;

/// Fires when a lock (or a hand-over file) may have changed, at most ten times a second, and never when nothing did.
pub type LockChanges = Pin<Box<dyn Stream<Item = ()> + Send>>;

impl LockRoot {
    /// Tells when a lock changes. What happens between this call and the first poll is not missed. The lock root may come, go
    /// and come back. Where inotify is not to be had, the folders are looked at every two seconds.
    pub fn changes(self: &Arc<Self>) -> LockChanges {
        let watcher = Watcher::new(Arc::clone(self));
        Box::pin(futures_util::stream::unfold(watcher, |mut watcher| async move {
            watcher.changed().await;
            Some(((), watcher))
        }))
    }
}

/// Where events come from. The second form needs the runtime, so it is made on the first poll.
enum Source {
    Opened(Inotify),
    Reading(EventStream<Vec<u8>>),
    None,
}

struct Watcher {
    root: Arc<LockRoot>,
    source: Source,
    watched: Option<Watched>,
    fingerprint: u64,
    next_look: Option<Instant>,
}

impl Watcher {
    fn new(root: Arc<LockRoot>) -> Self {
        let (source, watched) = match Inotify::init() {
            Ok(inotify) => {
                let mut watched = Watched::new(root.path().to_owned(), inotify.watches());
                watched.follow();
                (Source::Opened(inotify), Some(watched))
            }
            Err(error) => {
                log::warn!("inotify is not to be had ({error}): update locks are looked at every {POLL_MS} ms instead");
                (Source::None, None)
            }
        };
        let fingerprint = root.fingerprint();
        Self { root, source, watched, fingerprint, next_look: None }
    }

    /// Waits until something changed.
    async fn changed(&mut self) {
        loop {
            let event = self.wake_up().await;
            if let Some(next_look) = self.next_look {
                tokio::time::sleep_until(next_look).await;
            }
            let changed = match event {
                Some(event) => self.read(event),
                None => self.look(),
            };
            self.next_look = Some(Instant::now() + Duration::from_millis(QUIET_MS));
            if changed {
                return;
            }
        }
    }

    /// The next event; `None` when it is time to look without one.
    async fn wake_up(&mut self) -> Option<EventOwned> {
        self.start_reading();
        let complete = self.watched.as_ref().is_some_and(Watched::is_complete);
        let poll = async {
            match complete {
                true => std::future::pending().await,
                false => tokio::time::sleep(Duration::from_millis(POLL_MS)).await,
            }
        };
        let Source::Reading(stream) = &mut self.source else {
            poll.await;
            return None;
        };
        tokio::select! {
            biased;
            event = stream.next() => match event {
                Some(Ok(event)) => Some(event),
                failed => {
                    log::warn!("inotify failed ({failed:?}): update locks are looked at every {POLL_MS} ms instead");
                    self.source = Source::None;
                    self.watched = None;
                    None
                }
            },
            () = poll => None,
        }
    }

    fn start_reading(&mut self) {
        if !matches!(self.source, Source::Opened(_)) {
            return;
        }
        let Source::Opened(inotify) = std::mem::replace(&mut self.source, Source::None) else { return };
        match inotify.into_event_stream(vec![0; BUFFER_BYTES]) {
            Ok(stream) => self.source = Source::Reading(stream),
            Err(error) => {
                log::warn!("inotify cannot be waited for ({error}): update locks are looked at every {POLL_MS} ms instead");
                self.watched = None;
            }
        }
    }

    /// Reads this event and all that wait behind it. Says whether a lock may have changed.
    fn read(&mut self, first: EventOwned) -> bool {
        let Some(watched) = &mut self.watched else { return false };
        let mut locks = false;
        let mut folders = false;
        let mut next = Some(first);
        for _ in 0..MAX_EVENTS {
            let Some(event) = next.take() else { break };
            let meaning = watched.meaning(&event);
            locks |= matches!(meaning, Meaning::Lock | Meaning::Lost);
            folders |= matches!(meaning, Meaning::Folders | Meaning::Lost);
            if let Source::Reading(stream) = &mut self.source {
                next = stream.next().now_or_never().flatten().and_then(Result::ok);
            }
        }
        if folders {
            locks |= watched.follow();
        }
        locks
    }

    /// Looks at the folders themselves. Says whether something changed since the last look.
    fn look(&mut self) -> bool {
        let followed = self.watched.as_mut().is_some_and(Watched::follow);
        let fingerprint = self.root.fingerprint();
        std::mem::replace(&mut self.fingerprint, fingerprint) != fingerprint || followed
    }
}
