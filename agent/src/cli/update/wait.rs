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
const PLANNED_TIME: Duration = Duration::from_secs(2);
/// How long an agent may be away: it may be restarting.
const AWAY_TIME: Duration = Duration::from_secs(60);

/// Follows the agent from a request on. Done when it has heard from the cloud since and is settled.
pub(super) async fn run(device: &Device, asked: Instant, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut shown = Shown { as_json, said: Vec::new(), lines: 0 };
    let (mut heard, mut polled) = (Instant::now(), None);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let answer = match client::get(device, "/v3/status").await.and_then(|reply| reply.json()) {
            Ok(answer) => answer,
            Err(error) => {
                let passing = error.is_not_reachable() || matches!(error, ClientError::Broken { .. });
                if passing && heard.elapsed() < AWAY_TIME {
                    continue;
                }
                return Err(error.into());
            }
        };
        heard = Instant::now();
        let status = Status::from_answer(&answer);
        shown.update(&status)?;
        if polled.is_none() && has_polled(&status, asked.elapsed()) {
            polled = Some(Instant::now());
        }
        let planned = polled.is_some_and(|at| at.elapsed() >= PLANNED_TIME);
        if let Some(end) = end(&status, planned)? {
            shown.finish(end, &answer)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether the cloud answered since the request, where there is one.
fn has_polled(status: &Status, since: Duration) -> bool {
    let within = |ago_ms: i64| u128::try_from(ago_ms).is_ok_and(|ago_ms| ago_ms < since.as_millis());
    status.cloud.endpoint.is_empty() || status.cloud.last_poll.as_ref().is_some_and(|poll| within(poll.ago_ms))
}

/// The last sentence, when there is nothing more to come.
fn end(status: &Status, planned: bool) -> anyhow::Result<Option<&str>> {
    match status.phase.name.as_str() {
        "watch-only" => anyhow::bail!("nothing is changed on this device: {}", status.phase.text),
        "settled" if planned => match status.refused.first() {
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
    fn a_poll_counts_from_the_request_on() {
        let after = Duration::from_secs(10);
        assert!(has_polled(&status("settled", Some(5000)), after));
        assert!(!has_polled(&status("settled", Some(20_000)), after));
        assert!(!has_polled(&status("settled", None), after));
        assert!(has_polled(&Status { cloud: Cloud::default(), ..status("settled", None) }, after), "there is no cloud");
    }

    #[test]
    fn only_what_is_settled_ends_it_well() {
        assert_eq!(end(&status("settled", None), true).unwrap(), Some("settled"));
        assert_eq!(end(&status("settled", None), false).unwrap(), None);
        assert_eq!(end(&status("applying", None), true).unwrap(), None);
        assert!(end(&status("watch-only", None), false).is_err());
        let refused = Status { refused: vec![RefusedRow::default()], ..status("settled", None) };
        assert!(end(&refused, true).is_err());
    }
}
