//! A cloud that takes streams as it is told.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cloud::CloudError;
use crate::cloud::logs::{LogBody, LogTransport};

/// How one connection goes. Past the script, all go well.
#[derive(Clone, Debug)]
pub enum Go {
    /// Refuses this long after the head.
    Refuse(Duration, CloudError),
    /// Takes this many pieces and breaks.
    BreakAfter(usize),
    /// Takes the head and then nothing.
    Deaf,
    /// Never comes about.
    Nowhere,
    /// Reads to the end and never answers.
    Mute,
}

/// One connection as the cloud saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it began.
    pub began: Instant,
    /// Lines with the time of their arrival.
    pub lines: Vec<(Instant, Value)>,
    /// When the body ended as it should.
    pub ended: Option<Instant>,
}

#[derive(Default)]
pub struct Script {
    to_come: Mutex<VecDeque<Go>>,
    seen: Mutex<Vec<Seen>>,
}

impl Script {
    pub fn new(script: impl IntoIterator<Item = Go>) -> Arc<Script> {
        Arc::new(Script { to_come: Mutex::new(script.into_iter().collect()), seen: Mutex::default() })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// All messages of all connections, in order.
    pub fn messages(&self) -> Vec<String> {
        let text = |(_, line): &(Instant, Value)| line["message"].as_str().unwrap().to_owned();
        self.seen().iter().flat_map(|seen| seen.lines.iter().map(text).collect::<Vec<_>>()).collect()
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap()[number]);
    }
}

pub fn broken() -> CloudError {
    CloudError::Unreachable { call: "POST log-stream".into(), cause: "connection reset".into() }
}

#[async_trait::async_trait]
impl LogTransport for Script {
    async fn send(&self, mut body: LogBody) -> Result<(), CloudError> {
        let go = self.to_come.lock().unwrap().pop_front();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen { began: Instant::now(), lines: Vec::new(), ended: None });
            seen.len() - 1
        };
        let mut pieces_left = match &go {
            Some(Go::BreakAfter(pieces)) => *pieces,
            _ => usize::MAX,
        };
        match go {
            Some(Go::Nowhere) => std::future::pending().await,
            Some(Go::Deaf) => {
                let _ = futures_util::poll!(body.next());
                std::future::pending().await
            }
            Some(Go::Refuse(after, error)) => {
                let _ = futures_util::poll!(body.next());
                sleep(after).await;
                return Err(error);
            }
            _ => {}
        }
        let mut unpack = flate2::write::GzDecoder::new(Vec::new());
        while let Some(Ok(piece)) = body.next().await {
            unpack.write_all(&piece).unwrap();
            unpack.flush().unwrap();
            let text = std::mem::take(unpack.get_mut());
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let line = serde_json::from_slice(line).unwrap();
                self.change(number, |seen| seen.lines.push((Instant::now(), line)));
            }
            pieces_left -= 1;
            if pieces_left == 0 {
                return Err(broken());
            }
        }
        unpack.try_finish().unwrap();
        self.change(number, |seen| seen.ended = Some(Instant::now()));
        if matches!(go, Some(Go::Mute)) { std::future::pending().await } else { Ok(()) }
    }
}
