//! `holdfast status` of several devices: all are asked at once, and one that is away holds up nobody.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::exit::code_of;
use super::super::output::{is_terminal, paint, print, print_json};
use super::super::render::{self, DeviceLine};
use super::{CLEAR, PATH, without_times};
use crate::api::FromAnswer;
use crate::client::{self, ClientError, Device, Host};

/// How long one device may take; longer than ssh tries to connect, so that it can say why it did not.
const LIMIT: Duration = Duration::from_secs(30);
/// How often `--watch` asks a device that answers.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often it tries one that does not.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// What a device answered.
type Heard = Result<Value, ClientError>;

/// Shows them once, or with `watch` whenever one changes. The exit code is that of the worst.
pub(super) async fn run(hosts: Vec<Host>, socket: Option<PathBuf>, watch: bool, json: bool) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = hosts.iter().map(Host::to_string).collect();
    let mut heard: Vec<Option<Heard>> = hosts.iter().map(|_| None).collect();
    let (tell, mut told) = mpsc::channel(hosts.len());
    for (place, host) in hosts.into_iter().enumerate() {
        tokio::spawn(listen(place, Device::over_ssh(host, socket.clone()), watch, tell.clone()));
    }
    drop(tell);
    while let Some((place, news)) = told.recv().await {
        let changed = heard[place].as_ref().is_none_or(|before| essence(before) != essence(&news));
        heard[place] = Some(news);
        if watch {
            show_change(&names, &heard, place, changed, json)?;
        }
    }
    if json {
        let all: Vec<Value> = names.iter().zip(&heard).map(|(name, heard)| entry(name, heard.as_ref())).collect();
        print_json(&all)?;
    } else {
        print(&page(&names, &heard))?;
    }
    let worst = heard.into_iter().flatten().filter_map(Result::err).map(|error| code_of(&error.into())).max();
    Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
}

async fn listen(place: usize, device: Device, again: bool, tell: mpsc::Sender<(usize, Heard)>) {
    loop {
        let heard = match timeout(LIMIT, client::get(&device, PATH)).await {
            Ok(reply) => reply.and_then(|reply| reply.json()),
            Err(_) => {
                let cause = std::io::Error::other(format!("no answer within {} s", LIMIT.as_secs()));
                Err(device.not_reachable(cause))
            }
        };
        let pause = if heard.is_ok() { INTERVAL } else { RETRY_INTERVAL };
        if tell.send((place, heard)).await.is_err() || !again {
            return;
        }
        sleep(pause).await;
    }
}

fn show_change(names: &[String], heard: &[Option<Heard>], place: usize, changed: bool, json: bool) -> anyhow::Result<()> {
    match (json, is_terminal(), changed) {
        (true, _, true) => print(&format!("{}\n", entry(&names[place], heard[place].as_ref()))),
        // Times go on, so a screen is always drawn anew.
        (false, true, _) => print(&format!("{CLEAR}{}", page(names, heard))),
        (false, false, true) => print(&format!("{}\n", page(names, heard))),
        _ => Ok(()),
    }
}

fn page(names: &[String], heard: &[Option<Heard>]) -> String {
    let line = |(name, heard): (&String, &Option<Heard>)| DeviceLine {
        host: name.clone(),
        status: heard.as_ref().map(|heard| match heard {
            Ok(status) => Ok(FromAnswer::from_answer(status)),
            Err(error) => Err(error.to_string()),
        }),
    };
    let lines: Vec<DeviceLine> = names.iter().zip(heard).map(line).collect();
    render::devices(&lines, paint())
}

fn entry(name: &str, heard: Option<&Heard>) -> Value {
    match heard {
        Some(Ok(status)) => json!({ "host": name, "status": status }),
        Some(Err(error)) => json!({ "host": name, "error": error.to_string() }),
        None => json!({ "host": name }),
    }
}

/// What counts as a change.
fn essence(heard: &Heard) -> Result<Value, String> {
    heard.as_ref().map(without_times).map_err(ClientError::to_string)
}
