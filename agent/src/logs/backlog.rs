//! The lines that are there already, of all containers in the order of their times. One line of each is held at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;

use super::line::{Line, Mark};
use super::{LogWish, Subject};
use crate::engine::{Engine, LogLine, LogLines, LogRange};

/// A container's lines, and the next of them.
struct Reader {
    subject: Arc<Subject>,
    lines: LogLines,
    next: LogLine,
}

/// Sends them and returns how far each container was read; `None` when nobody takes them any more.
pub(super) async fn send(
    engine: &dyn Engine,
    subjects: &[Arc<Subject>],
    wish: &LogWish,
    out: &Sender<Line>,
) -> Option<BTreeMap<String, Mark>> {
    let mut readers = Vec::new();
    let mut marks = BTreeMap::new();
    if wish.lines == Some(0) {
        return Some(marks);
    }
    let range = LogRange { since_ns: wish.since_ns, last: wish.lines, follow: false };
    for subject in subjects {
        match engine.logs(&subject.container, &range).await {
            Ok(lines) => advance(&mut readers, Arc::clone(subject), lines, wish, out).await?,
            Err(error) => out.send(Line::system(subject, wish.now_ns, error.to_string())).await.ok()?,
        }
    }
    while let Some(first) = (0..readers.len()).min_by_key(|at| readers.get(*at).map(|reader: &Reader| reader.next.time_ns)) {
        let Reader { subject, lines, next } = readers.swap_remove(first);
        marks.entry(subject.container.clone()).or_insert_with(Mark::default).pass(next.time_ns);
        out.send(Line::of(&subject, next)).await.ok()?;
        advance(&mut readers, subject, lines, wish, out).await?;
    }
    Some(marks)
}

/// Goes on to a container's next line; one that has none is done with.
async fn advance(
    readers: &mut Vec<Reader>,
    subject: Arc<Subject>,
    mut lines: LogLines,
    wish: &LogWish,
    out: &Sender<Line>,
) -> Option<()> {
    match lines.next().await {
        Some(Ok(next)) => readers.push(Reader { subject, lines, next }),
        Some(Err(cause)) => out.send(Line::system(&subject, wish.now_ns, cause.to_string())).await.ok()?,
        None => {}
    }
    Some(())
}
