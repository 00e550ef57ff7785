//! `holdfast diagnose`.

mod fix;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::exit::FAILED;
use super::output::{paint, print, print_json};
use super::render::{self, Paint};
use crate::clock::SystemClock;
use crate::diagnose::{Bundled, Extra, Scene, Verdict, examine, write_bundle};
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
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: DiagnoseArgs) -> anyhow::Result<ExitCode> {
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
    Ok(if report.verdict() == Verdict::Failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}
