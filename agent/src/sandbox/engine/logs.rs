//! What simulated containers write: one line when they start and one when they end.

use futures_util::{StreamExt, stream};

use super::SimEngine;
use super::world::Held;
use crate::engine::{LogLine, LogLines, LogRange};

const NS_PER_MS: i64 = 1_000_000;

fn lines(held: &Held) -> Vec<LogLine> {
    let line = |at_ms: Option<i64>, is_error, text: String| {
        at_ms.map(|at_ms| LogLine { time_ns: at_ms * NS_PER_MS, is_error, text: text.into_bytes() })
    };
    let started = line(held.started_ms, false, format!("{} is started (simulated)", held.spec.name));
    let ended = line(held.finished_ms, true, format!("{} ended with {} (simulated)", held.spec.name, held.exit_code));
    let mut lines: Vec<LogLine> = started.into_iter().chain(ended).collect();
    lines.sort_by_key(|line| line.time_ns);
    lines
}

impl SimEngine {
    /// The lines of a container, and with `follow` those that come until it ends.
    pub(super) fn log_lines(&self, id: &str, range: LogRange) -> LogLines {
        let (engine, id) = (self.clone(), id.to_owned());
        let shown = move |engine: &SimEngine| engine.with(|world| world.find(&id).map(|held| (lines(held), held.runs())));
        let mut there = shown(&engine).map(|(lines, _)| lines).unwrap_or_default();
        there.retain(|line| range.since_ns.is_none_or(|since| line.time_ns >= since));
        let skip = range.last.map_or(0, |last| there.len().saturating_sub(last as usize));
        let last_ns = there.last().map_or(i64::MIN, |line| line.time_ns);
        let first = stream::iter(there.into_iter().skip(skip).map(Ok));
        if !range.follow {
            return first.boxed();
        }
        let changes = self.stream();
        let rest = stream::unfold(Some((changes, last_ns)), move |following| {
            let (engine, shown) = (engine.clone(), shown.clone());
            async move {
                let (mut changes, mut last_ns) = following?;
                loop {
                    let (lines, runs) = shown(&engine)?;
                    let new: Vec<LogLine> = lines.into_iter().filter(|line| line.time_ns > last_ns).collect();
                    last_ns = new.last().map_or(last_ns, |line| line.time_ns);
                    if !new.is_empty() {
                        return Some((new, runs.then_some((changes, last_ns))));
                    }
                    if !runs {
                        return None;
                    }
                    changes.next().await?;
                }
            }
        });
        first.chain(rest.flat_map(|lines| stream::iter(lines.into_iter().map(Ok)))).boxed()
    }
}
