//! `holdfast logs`: through the agent, and from the engine itself while no agent runs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;

use super::ClientArgs;
use super::exit::NOT_REACHABLE;
use super::output::{paint, print, remark};
use super::render::{self, Paint};
use crate::api::LogRow;
use crate::client::{ClientError, Device, download};
use crate::clock::{Clock, SystemClock};
use crate::engine::docker::DockerEngine;
use crate::engine::{DEFAULT_ADDRESSES, Engine, Events};
use crate::logs::{LogWish, Subject, Subjects, gather};

/// How long an agent that went away is waited for before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest line of an answer.
const LINE_BYTES: usize = 1024 * 1024;
const NS_PER_MS: i64 = 1_000_000;
/// What is asked for again when a connection breaks: lines of services may overtake each other by less.
const OVERLAP_S: u64 = 10;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// Only this service
    service: Option<String>,
    /// Only this app, by name or number
    #[arg(long)]
    app: Option<String>,
    /// Go on until Ctrl-C, also while containers are replaced and the agent restarts
    #[arg(short, long)]
    follow: bool,
    /// So many of the newest lines of each service, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "100", value_parser = lines)]
    lines: String,
    /// None older than this (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

fn lines(text: &str) -> Result<String, String> {
    let is_number = text.parse::<u32>().is_ok_and(|lines| lines <= 10_000);
    if is_number || text == "all" { Ok(text.to_owned()) } else { Err("a number up to 10000, or all".to_owned()) }
}

pub(super) async fn run(args: LogsArgs) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(args.client.json);
    let device = args.client.device();
    let mut reached = false;
    loop {
        let ended = read(&device, &args, &mut printer).await;
        match ended {
            Ok(()) | Err(Ended::Broken) if args.follow => reached = true,
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(Ended::Broken) => anyhow::bail!("the agent's answer broke off; its log may say why (journalctl -u holdfast)"),
            Err(Ended::Here(error)) => return Err(error),
            // It is restarting, or was a moment ago.
            Err(Ended::Agent(error)) if reached && error.is_not_reachable() => {}
            Err(Ended::Agent(error @ ClientError::NotReachable { .. })) => {
                remark(&format!("{error}\nThe logs are read from the container engine itself.\n"));
                return match There::reach(&args).await {
                    Ok(there) => directly(there, &args, &mut printer).await,
                    // Nobody is there to be asked.
                    Err(error) => {
                        remark(&format!("holdfast: {error:#}\n"));
                        Ok(ExitCode::from(NOT_REACHABLE))
                    }
                };
            }
            Err(Ended::Agent(ClientError::Refused { status: 404 | 503, .. })) if reached => {}
            Err(Ended::Agent(error)) => return Err(error.into()),
        }
        printer.resumed = true;
        tokio::time::sleep(AGAIN).await;
    }
}

/// How an answer ended.
enum Ended {
    /// It did not begin.
    Agent(ClientError),
    /// In the middle.
    Broken,
    /// At this end.
    Here(anyhow::Error),
}

/// Reads one answer to its end.
async fn read(device: &Device, args: &LogsArgs, printer: &mut Printer) -> Result<(), Ended> {
    let mut answer = download(device, &path(args, printer)).await.map_err(Ended::Agent)?;
    let mut waiting = Vec::new();
    while let Some(bytes) = answer.next().await.map_err(|_| Ended::Broken)? {
        waiting.extend_from_slice(&bytes);
        let whole = waiting.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text: Vec<u8> = waiting.drain(..whole).collect();
        printer.lines(&text).map_err(Ended::Here)?;
        if waiting.len() > LINE_BYTES {
            return Err(Ended::Broken);
        }
    }
    Ok(())
}

/// What is asked for: the first time as was said, later on what came since.
fn path(args: &LogsArgs, printer: &Printer) -> String {
    let mut path = format!("/v3/logs?follow={}", u8::from(args.follow));
    let mut add = |name: &str, value: &str| path.push_str(&format!("&{name}={}", crate::client::escaped(value)));
    match printer.resume() {
        Some(since) => {
            add("lines", "all");
            add("since", &since);
        }
        None => {
            add("lines", &args.lines);
            args.since.iter().for_each(|since| add("since", since));
        }
    }
    args.service.iter().for_each(|service| add("service", service));
    args.app.iter().for_each(|app| add("app", app));
    path
}

/// Prints lines and remembers what was printed.
struct Printer {
    json: bool,
    paint: Paint,
    /// The time of each service's last line.
    last: BTreeMap<(String, String), String>,
    /// Whether lines may come again.
    resumed: bool,
}

impl Printer {
    fn new(json: bool) -> Printer {
        Printer { json, paint: paint(), last: BTreeMap::new(), resumed: false }
    }

    /// The time to go on from: a little before the newest line, since each service's own last line is known.
    fn resume(&self) -> Option<String> {
        let newest = self.last.values().max()?;
        let newest_ns = crate::engine::unix_ns(newest)?;
        let since_ms = newest_ns / NS_PER_MS - i64::try_from(OVERLAP_S).unwrap_or(0) * 1000;
        Some(crate::api::rfc3339(since_ms))
    }

    /// Prints whole lines as they came from the agent.
    fn lines(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let mut out = String::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(row) = serde_json::from_slice::<Value>(line) else { continue };
            if self.is_new(&row) {
                self.write(&row, &String::from_utf8_lossy(line), &mut out);
            }
        }
        if out.is_empty() { Ok(()) } else { print(&out) }
    }

    fn write(&self, row: &Value, line: &str, out: &mut String) {
        if self.json {
            out.push_str(line);
            out.push('\n');
        } else {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            out.push_str(&render::log_line(text("time"), text("service"), text("stream"), text("message"), self.paint));
        }
    }

    /// Times are written with as many digits each, so they compare as texts.
    fn is_new(&mut self, row: &Value) -> bool {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        if text("stream") == "system" {
            return true;
        }
        let last = self.last.entry((text("app").to_owned(), text("service").to_owned())).or_default();
        if self.resumed && text("time") <= last.as_str() {
            return false;
        }
        text("time").clone_into(last);
        true
    }
}

/// Reads from the engine: for a device whose agent is dead.
async fn directly(there: There, args: &LogsArgs, printer: &mut Printer) -> anyhow::Result<ExitCode> {
    if there.containers.is_empty() && !args.follow {
        anyhow::bail!("the engine has no such container");
    }
    let since_ns = match &args.since {
        Some(text) => Some(crate::engine::unix_ns(text).ok_or_else(|| anyhow::anyhow!("{text} is not a time"))?),
        None => None,
    };
    let now_ns = SystemClock.now().machine_ms.saturating_mul(NS_PER_MS);
    let wish = LogWish { lines: args.lines.parse().ok(), since_ns, follow: args.follow, now_ns };
    let mut lines = gather(there.engine.clone(), Box::new(there), wish);
    while let Some(line) = lines.recv().await {
        let mut text = serde_json::to_vec(&LogRow::of(&line))?;
        text.push(b'\n');
        printer.lines(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The engine's own list of containers.
struct There {
    engine: Arc<dyn Engine>,
    events: Events,
    containers: Vec<Subject>,
    app: Option<String>,
    service: Option<String>,
}

impl There {
    async fn reach(args: &LogsArgs) -> anyhow::Result<There> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let scope = variable("HOLDFAST_SCOPE");
        let engine = match variable("DOCKER_HOST") {
            Some(address) => DockerEngine::connect(&address, scope)?,
            None => DockerEngine::connect_any(&DEFAULT_ADDRESSES, scope)?,
        };
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let (app, service) = (args.app.clone(), args.service.clone());
        let mut there = There { events: engine.events().await?, engine, containers: Vec::new(), app, service };
        there.look().await?;
        Ok(there)
    }

    async fn look(&mut self) -> Result<(), crate::engine::EngineError> {
        let state = self.engine.observe().await?;
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|asked| asked == name);
        let containers = state.containers.into_iter().map(|container| Subject {
            app: format!("app {}", container.app_id),
            app_id: container.app_id,
            is_up: container.is_up(),
            started_ms: container.started_ms,
            container: container.id,
            service: container.service,
        });
        self.containers = containers.filter(|s| is(&self.service, &s.service) && is(&self.app, &s.app_id.to_string())).collect();
        Ok(())
    }
}

impl Subjects for There {
    fn now(&mut self) -> Vec<Subject> {
        self.containers.clone()
    }

    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.events.next().await.is_none() {
                tokio::time::sleep(AGAIN).await;
                if let Ok(events) = self.engine.events().await {
                    self.events = events;
                }
            }
            // While it is away the containers are as they were.
            let _ = self.look().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_come_again_are_passed_over() {
        let mut printer = Printer::new(true);
        let row =
            |service: &str, time: &str| serde_json::json!({ "app": "a", "service": service, "time": time, "stream": "stdout" });
        assert!(printer.is_new(&row("one", "2026-01-01T00:00:20.000000001Z")));
        assert!(printer.is_new(&row("two", "2026-01-01T00:00:19.000000000Z")));
        assert_eq!(printer.resume().as_deref(), Some("2026-01-01T00:00:10.000Z"));
        printer.resumed = true;
        assert!(!printer.is_new(&row("one", "2026-01-01T00:00:20.000000001Z")));
        assert!(printer.is_new(&row("two", "2026-01-01T00:00:19.000000001Z")), "it had been overtaken");
        assert!(printer.is_new(&row("one", "2026-01-01T00:00:20.000000002Z")));
    }

    #[test]
    fn numbers_of_lines() {
        assert!(lines("0").is_ok() && lines("all").is_ok() && lines("10000").is_ok());
        assert!(lines("10001").is_err() && lines("-1").is_err() && lines("some").is_err());
    }
}
