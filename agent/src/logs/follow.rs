//! Following containers that come and go.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::backlog;
use super::line::{Line, Mark, Resume};
use crate::engine::{Engine, LogRange};

/// Lines that wait for the reader.
const WAITING: usize = 16;
/// Containers that are read at once.
const MOST: usize = 64;
/// How soon a container is looked at again whose log ended, and one whose log cannot be read.
const AGAIN: Duration = Duration::from_secs(2);
const WRONG_AGAIN: Duration = Duration::from_secs(30);

/// A container and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The container's engine id.
    pub container: String,
    /// Its app.
    pub app_id: u64,
    /// The app's name.
    pub app: String,
    /// Its service.
    pub service: String,
    /// Whether it runs.
    pub is_up: bool,
    /// When it was last started, ms since 1970.
    pub started_ms: Option<i64>,
}

/// The containers there are.
pub trait Subjects: Send {
    /// Those there are now, of the services that are asked for.
    fn now(&mut self) -> Vec<Subject>;

    /// Waits until there may be others.
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWish {
    /// So many of the newest of each container; all where nothing is said.
    pub lines: Option<u32>,
    /// None older than this, ns since 1970.
    pub since_ns: Option<i64>,
    /// Go on.
    pub follow: bool,
    /// What time it is, ns since 1970 by the clock that the engine has too.
    pub now_ns: i64,
}

/// Begins to read; the lines come through the channel until all are there, or for as long as somebody takes them.
pub fn gather(engine: Arc<dyn Engine>, subjects: Box<dyn Subjects>, wish: LogWish) -> Receiver<Line> {
    let (out, lines) = channel(WAITING);
    tokio::spawn(async move {
        let mut gathering =
            Gathering { engine, subjects, wish, out: out.clone(), known: BTreeMap::new(), readers: JoinSet::new() };
        tokio::select! {
            biased;
            () = out.closed() => {}
            () = gathering.run() => {}
        }
    });
    lines
}

/// A container that is or was read.
#[derive(Default)]
struct Known {
    mark: Option<Mark>,
    /// Only so many of its newest lines, where none was read yet: it was there before anybody followed.
    last: Option<u32>,
    reading: bool,
    /// The start that it was read for.
    started_ms: Option<i64>,
    /// Not before this again.
    again: Option<Instant>,
    /// What was wrong and was said.
    wrong: Option<String>,
}

struct Gathering {
    engine: Arc<dyn Engine>,
    subjects: Box<dyn Subjects>,
    wish: LogWish,
    out: Sender<Line>,
    known: BTreeMap<String, Known>,
    readers: JoinSet<(Arc<Subject>, Option<Mark>, Option<String>)>,
}

impl Gathering {
    async fn run(&mut self) {
        let now: Vec<Arc<Subject>> = self.subjects.now().into_iter().map(Arc::new).collect();
        let read = &now[..now.len().min(MOST)];
        let Some(marks) = backlog::send(&*self.engine, read, &self.wish, &self.out).await else { return };
        if !self.wish.follow {
            return;
        }
        for subject in &now {
            let mut mark = marks.get(&subject.container).copied();
            if self.wish.lines == Some(0) {
                // From now on: none of the time that counts from.
                mark = Some(Mark { time_ns: self.wish.now_ns, lines: 0 });
            }
            self.known.insert(subject.container.clone(), Known { mark, last: self.wish.lines, ..Known::default() });
        }
        loop {
            let next = self.attach();
            tokio::select! {
                biased;
                Some(ended) = self.readers.join_next(), if !self.readers.is_empty() => {
                    if let Ok((subject, mark, wrong)) = ended {
                        self.ended(subject, mark, wrong).await;
                    }
                }
                () = self.subjects.changed() => {}
                () = async { sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => {}
            }
        }
    }

    /// Begins to read what is to be read now; returns when there may be more.
    fn attach(&mut self) -> Option<Instant> {
        let (now, mut next) = (Instant::now(), None::<Instant>);
        let subjects = self.subjects.now();
        self.known.retain(|id, known| known.reading || subjects.iter().any(|subject| subject.container == *id));
        for subject in subjects {
            let known = self.known.entry(subject.container.clone()).or_default();
            // One that has ended is read once more for each of its starts: it may have been too short to be seen running.
            let is_new = known.again.is_none() || known.started_ms != subject.started_ms;
            if known.reading || !(subject.is_up || is_new) || self.readers.len() >= MOST {
                continue;
            }
            if let Some(again) = known.again.filter(|again| *again > now) {
                next = Some(next.map_or(again, |next| next.min(again)));
                continue;
            }
            (known.reading, known.started_ms) = (true, subject.started_ms);
            let since_ns = known.mark.map(|mark| mark.time_ns).or(self.wish.since_ns);
            let range = LogRange { since_ns, last: known.last.filter(|_| known.mark.is_none()), follow: true };
            self.readers.spawn(read(Arc::clone(&self.engine), Arc::new(subject), range, known.mark, self.out.clone()));
        }
        next
    }

    /// Notes how far a container was read. What is wrong is said once.
    async fn ended(&mut self, subject: Arc<Subject>, mark: Option<Mark>, wrong: Option<String>) {
        let Some(known) = self.known.get_mut(&subject.container) else { return };
        let pause = if wrong.is_some() { WRONG_AGAIN } else { AGAIN };
        (known.reading, known.mark, known.again) = (false, mark.or(known.mark), Some(Instant::now() + pause));
        // Once it could be read, whatever it writes is new.
        known.last = known.last.filter(|_| wrong.is_some());
        if wrong.is_some() && known.wrong != wrong {
            let time_ns = known.mark.map_or(self.wish.now_ns, |mark| mark.time_ns);
            let text = wrong.clone().unwrap_or_default();
            // Nobody takes it any more: that is found out by whoever waits for it.
            let _ = self.out.send(Line::system(&subject, time_ns, text)).await;
        }
        known.wrong = wrong;
    }
}

/// Reads one container until its log ends; returns how far, and what was wrong.
async fn read(
    engine: Arc<dyn Engine>,
    subject: Arc<Subject>,
    range: LogRange,
    mut mark: Option<Mark>,
    out: Sender<Line>,
) -> (Arc<Subject>, Option<Mark>, Option<String>) {
    let mut resume = Resume::new(mark);
    let mut lines = match engine.logs(&subject.container, &range).await {
        Ok(lines) => lines,
        // It was removed between two looks.
        Err(crate::engine::EngineError::NotFound { .. }) => return (subject, mark, None),
        Err(error) => return (subject, mark, Some(error.to_string())),
    };
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) if resume.admits(line.time_ns) => {
                let mut passed = mark.unwrap_or_default();
                passed.pass(line.time_ns);
                if out.send(Line::of(&subject, line)).await.is_err() {
                    break;
                }
                mark = Some(passed);
            }
            Ok(_) => {}
            Err(cause) => {
                log::debug!("the log of {} broke off and is read on: {cause}", subject.service);
                break;
            }
        }
    }
    (subject, mark, None)
}

#[cfg(test)]
mod tests;
