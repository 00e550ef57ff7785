//! `holdfast status`.

mod several;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::ClientArgs;
use super::output::{is_terminal, paint, print, print_answer};
use super::render;
use crate::api::{FromAnswer, Status};
use crate::client::{self, ClientError, Device, Host};

/// Where the status is.
const PATH: &str = "/v3/status";
/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Go on and show every change until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Ask the agent of another device, through the system's ssh: ssh://[user@]address[:port]; given more than once, all are
    /// shown in one table
    #[arg(long = "host", value_name = "HOST", value_parser = Host::parse)]
    hosts: Vec<Host>,
    /// The agent's socket [environment: HOLDFAST_SOCKET] [default: /run/holdfast/holdfast.sock]; with --host a path there
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let StatusArgs { watch, mut hosts, socket, json } = args;
    if hosts.len() > 1 {
        return Box::pin(several::run(hosts, socket, watch, json)).await;
    }
    let device = ClientArgs { socket, host: hosts.pop(), json }.device();
    let first = client::get(&device, PATH).await?;
    if watch {
        return follow(&device, first.json()?, json).await;
    }
    if json {
        print_answer(&first)?;
    } else {
        print(&render::status(&first.read::<Status>()?, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the status whenever it changes; an agent that goes away is waited for, since it may be restarting.
async fn follow(device: &Device, first: Value, json: bool) -> anyhow::Result<ExitCode> {
    let (mut shown, mut status) = (None, Ok(first));
    loop {
        let essence = match &status {
            Ok(status) => Ok(without_times(status)),
            Err(error) => Err(ClientError::to_string(error)),
        };
        if json {
            if shown.as_ref() != Some(&essence) {
                print(&line(&status))?;
            }
        } else if is_terminal() {
            // Times go on, so a screen is always drawn anew.
            print(&format!("{CLEAR}{}", page(&status)?))?;
        } else if shown.as_ref() != Some(&essence) {
            print(&format!("{}\n", page(&status)?))?;
        }
        shown = Some(essence);
        tokio::time::sleep(WATCH_INTERVAL).await;
        status = client::get(device, PATH).await.and_then(|reply| reply.json());
    }
}

fn page(status: &Result<Value, ClientError>) -> anyhow::Result<String> {
    match status {
        Ok(status) => Ok(render::status(&Status::from_answer(status), paint())),
        Err(error) => Ok(format!("{error}\n")),
    }
}

/// One line of JSON.
fn line(status: &Result<Value, ClientError>) -> String {
    match status {
        Ok(status) => format!("{status}\n"),
        Err(error) => format!("{}\n", serde_json::json!({ "error": error.to_string() })),
    }
}

/// A status without what changes by itself as time passes.
fn without_times(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let lasting = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "ago_ms" | "in_ms" | "utc"));
            Value::Object(lasting.map(|(name, value)| (name.clone(), without_times(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_times).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_time_is_no_change() {
        let at = |ago_ms: i64, size: u64| serde_json::json!({ "utc": ago_ms, "list": [{ "since": { "ago_ms": ago_ms }, "size": size }] });
        assert_eq!(without_times(&at(1, 5)), without_times(&at(2, 5)));
        assert_ne!(without_times(&at(1, 5)), without_times(&at(1, 6)));
    }
}
