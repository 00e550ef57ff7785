//! `holdfast diagnose`.

mod fix;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::exit::{FAILED, Usage};
use super::output::{paint, print, print_answer, print_json};
use super::render::{self, Paint};
use crate::client::{self, ClientError, Device, Host};
use crate::clock::SystemClock;
use crate::diagnose::{Bundled, Extra, Report, Scene, Verdict, examine, write_bundle};
use crate::settings::{Flags, Settings};

/// Arguments of `diagnose`.
#[derive(Debug, clap::Args)]
pub(super) struct DiagnoseArgs {
    /// Write all there is to know into one file for support, with every secret removed; removed.json in it says what
    #[arg(long, value_name = "FILE.tar.gz")]
    bundle: Option<PathBuf>,
    /// Keep the values of environment variables and labels in it, but for those whose names speak of a secret
    #[arg(long, requires = "bundle")]
    with_environment: bool,
    /// Do this instead of checking; can be given more than once
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "bundle")]
    fix: Vec<fix::Remedy>,
    /// Have the agent of another device run its checks, through the system's ssh: ssh://[user@]address[:port]
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    host: Option<Host>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: DiagnoseArgs) -> anyhow::Result<ExitCode> {
    if let Some(host) = &args.host {
        return elsewhere(host, &args).await;
    }
    let (settings, faults) = Settings::load(&args.flags, |name| std::env::var(name).ok())?;
    let scene = Arc::new(Scene::new(settings, faults, Arc::new(SystemClock)));
    if !args.fix.is_empty() {
        return fix::run(&scene, &args.fix, args.json).await;
    }
    let report = examine(&scene).await;
    let mut answer = report.to_json();
    let mut text = render::diagnose(&report, paint());
    if let Some(path) = &args.bundle {
        let extras = vec![
            Extra { name: "checks.json", text: format!("{answer:#}\n") },
            Extra { name: "checks.txt", text: render::diagnose(&report, Paint::Plain) },
        ];
        let Bundled { bytes, removed, missing } = write_bundle(&scene, path, extras, args.with_environment).await?;
        let what = format!("{}: {}, {removed} secrets and values removed", path.display(), render::size(bytes));
        let without = if missing.is_empty() { String::new() } else { format!("; without {}", missing.join(", ")) };
        text.push_str(&format!("{what}{without}\n"));
        answer["bundle"] = json!({ "path": path, "bytes": bytes, "removed": removed, "missing": missing });
    }
    if args.json {
        print_json(&answer)?;
    } else {
        print(&text)?;
    }
    Ok(code_of(&report))
}

fn code_of(report: &Report) -> ExitCode {
    if report.verdict() == Verdict::Failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// What the agent of another device finds. All else works on the device itself, with its files and its engine.
async fn elsewhere(host: &Host, args: &DiagnoseArgs) -> anyhow::Result<ExitCode> {
    if args.bundle.is_some() || !args.fix.is_empty() {
        let text = format!("--bundle and --fix work on the device itself: run them on {host}, without --host");
        return Err(Usage(text).into());
    }
    let socket = args.flags.socket.clone();
    if args.flags != (Flags { socket: socket.clone(), ..Flags::default() }) {
        let text = format!("{host} is asked through its agent, which has settings of its own: only --socket goes with --host");
        return Err(Usage(text).into());
    }
    let device = Device::over_ssh(host.clone(), socket.map(PathBuf::from));
    let reply = client::get(&device, "/v3/diagnose").await.map_err(|error| match error {
        away if away.is_not_reachable() => anyhow::Error::new(away)
            .context(format!("only the agent of {host} can be asked from here; run the command on the device itself")),
        other => other.into(),
    })?;
    let report =
        Report::from_json(&reply.json()?).ok_or_else(|| ClientError::Unreadable { cause: "it holds no checks".to_owned() })?;
    if args.json {
        print_answer(&reply)?;
    } else {
        print(&render::diagnose(&report, paint()))?;
    }
    Ok(code_of(&report))
}
