//! `holdfast update --wait`: what the agent does until the device is settled, with downloads as bars on a terminal, else a
//! line for each thing that begins.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::output::{is_terminal, paint, print};
use super::super::render;
use crate::api::{FromAnswer, Status};
use crate::client::{self, ClientError, Device};

/// How often the agent is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long after a poll the agent has planned for what it brought, for certain.
const PLANNED_MS: i64 = 2000;
/// How long an agent may be away: it may be restarting.
const AWAY_TIME: Duration = Duration::from_secs(60);

/// Follows the agent from a request on. Done when it has heard from the cloud since and is settled.
pub(super) async fn run(device: &Device, asked: Instant, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut shown = Shown { as_json, said: Vec::new(), lines: 0 };
    let mut heard = Instant::now();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let answer = match client::get(device, "/v3/status").await.and_then(|reply| reply.json()) {
            Ok(answer) => answer,
            Err(ClientError::NotReachable { .. } | ClientError::Broken { .. }) if heard.elapsed() < AWAY_TIME => continue,
            Err(error) => return Err(error.into()),
        };
        heard = Instant::now();
        let status = Status::from_answer(&answer);
        shown.update(&status)?;
        if let Some(end) = end(&status, asked.elapsed())? {
            shown.finish(end, &answer)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The last sentence, when there is nothing more to come.
fn end(status: &Status, since: Duration) -> anyhow::Result<Option<&str>> {
    let polled =
        status.cloud.endpoint.is_empty()
            || status.cloud.last_poll.as_ref().is_some_and(|poll| {
                i64::try_from(since.as_millis()).is_ok_and(|since| (PLANNED_MS..since).contains(&poll.ago_ms))
            });
    match status.phase.name.as_str() {
        "watch-only" => anyhow::bail!("nothing is changed on this device: {}", status.phase.text),
        "settled" if polled => match status.refused.first() {
            Some(app) => anyhow::bail!("the target of app {} is refused, it is left as it is; holdfast status says why", app.app),
            None => Ok(Some(&status.phase.text)),
        },
        _ => Ok(None),
    }
}

/// What stands on the screen, or was said.
struct Shown {
    as_json: bool,
    said: Vec<String>,
    lines: usize,
}

impl Shown {
    fn update(&mut self, status: &Status) -> anyhow::Result<()> {
        if !self.as_json && is_terminal() {
            let page = render::progress(status, paint());
            let text = format!("{}{page}", self.back());
            self.lines = page.lines().count();
            return print(&text);
        }
        let now = render::steps(status);
        for step in now.iter().filter(|step| !self.said.contains(step)) {
            print(&if self.as_json { format!("{}\n", json!({ "now": step })) } else { format!("{step}\n") })?;
        }
        self.said = now;
        Ok(())
    }

    fn finish(&self, end: &str, status: &Value) -> anyhow::Result<()> {
        if self.as_json {
            print(&format!("{}\n", json!({ "status": status })))
        } else {
            print(&format!("{}{end}\n", self.back()))
        }
    }

    /// Goes up to where the last page began, and clears what is there.
    fn back(&self) -> String {
        if self.lines == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Ago, Cloud, PhaseRow, RefusedRow};

    fn status(phase: &str, polled_ms: Option<i64>) -> Status {
        let last_poll = polled_ms.map(|ago_ms| Ago { ago_ms, utc: None });
        Status {
            phase: PhaseRow { name: phase.into(), text: phase.into(), since: None },
            cloud: Cloud { endpoint: "https://api".into(), last_poll, ..Cloud::default() },
            ..Status::default()
        }
    }

    #[test]
    fn settled_counts_from_a_poll_after_the_request_on() {
        let after = Duration::from_secs(10);
        for (status, done) in [
            (status("settled", Some(5000)), true),
            (status("settled", Some(20_000)), false),
            (status("settled", Some(500)), false),
            (status("settled", None), false),
            (status("applying", Some(5000)), false),
            (Status { cloud: Cloud::default(), ..status("settled", None) }, true),
        ] {
            assert_eq!(end(&status, after).unwrap().is_some(), done, "{status:?}");
        }
        assert!(end(&status("watch-only", None), after).is_err());
        let refused = Status { refused: vec![RefusedRow::default()], ..status("settled", Some(5000)) };
        assert!(end(&refused, after).is_err());
    }
}
