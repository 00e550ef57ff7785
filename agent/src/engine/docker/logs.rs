//! Logs of containers. Asked for past the client: it keeps a line in memory until it ends, however long that takes, and reads
//! a terminal's first byte as a header where it can be taken for one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http_body_util::BodyExt;

use super::log_lines::Reading;
use super::names::checked;
use super::raw::{self, Open};
use super::{LOOK_LIMIT, Shared};
use crate::engine::{LogLine, LogLines, LogRange, Result};

/// The longest silence of an engine that was not asked to go on.
const SILENCE: Duration = Duration::from_secs(60);

/// Reads the log of a container.
pub(super) async fn read(shared: &Arc<Shared>, id: &str, range: &LogRange) -> Result<LogLines> {
    let object = format!("log of container {id}");
    let path = format!("/containers/{}/logs?{}", checked(&object, id)?, query(range));
    let open = raw::open(&shared.link, &object, &path, LOOK_LIMIT).await?;
    let silence = if range.follow { None } else { Some(SILENCE) };
    let begin = Lines { open: Some(open), reading: Reading::default(), ready: Vec::new().into_iter(), silence };
    Ok(Box::pin(stream::unfold(begin, |mut lines| async move { lines.next().await.map(|line| (line, lines)) })))
}

fn query(range: &LogRange) -> String {
    let last = range.last.map_or_else(|| "all".to_owned(), |last| last.to_string());
    let mut query = format!("stdout=1&stderr=1&timestamps=1&follow={}&tail={last}", u8::from(range.follow));
    if let Some(since) = range.since_ns {
        let second = 1_000_000_000;
        query.push_str(&format!("&since={}.{:09}", since.div_euclid(second), since.rem_euclid(second)));
    }
    query
}

struct Lines {
    /// `None` once all has come.
    open: Option<Open>,
    reading: Reading,
    ready: std::vec::IntoIter<LogLine>,
    silence: Option<Duration>,
}

impl Lines {
    async fn next(&mut self) -> Option<io::Result<LogLine>> {
        loop {
            if let Some(line) = self.ready.next() {
                return Some(Ok(line));
            }
            let open = self.open.as_mut()?;
            let frame = match self.silence {
                Some(limit) => match tokio::time::timeout(limit, open.body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return self.broken(format!("the engine was silent for {} s", limit.as_secs())),
                },
                None => open.body.frame().await,
            };
            let mut lines = Vec::new();
            match frame {
                Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|bytes| self.reading.feed(bytes, &mut lines)),
                Some(Err(cause)) => return self.broken(format!("the engine broke off: {cause}")),
                None => {
                    self.open = None;
                    self.reading.finish(&mut lines);
                }
            }
            self.ready = lines.into_iter();
        }
    }

    fn broken(&mut self, what: String) -> Option<io::Result<LogLine>> {
        self.open = None;
        Some(Err(io::Error::other(what)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_the_engines_words() {
        assert_eq!(query(&LogRange::default()), "stdout=1&stderr=1&timestamps=1&follow=0&tail=all");
        let range = LogRange { since_ns: Some(1_795_247_640_000_000_007), last: Some(5), follow: true };
        assert!(query(&range).ends_with("follow=1&tail=5&since=1795247640.000000007"), "{}", query(&range));
        let before = LogRange { since_ns: Some(-1), ..LogRange::default() };
        assert!(query(&before).ends_with("since=-1.999999999"));
    }
}
