//! `holdfast simulate`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use super::output::print;
use crate::sandbox::simulation;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct SimulateArgs {
    /// Which run: the same number is the same run
    #[arg(long, value_name = "N")]
    seed: u64,
}

pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    // Simulated time has a runtime of its own, and a runtime cannot run inside another.
    let played = tokio::task::spawn_blocking(move || {
        // A reader that went away is noticed when the last line is printed.
        let reader: simulation::Reader = Arc::new(|line: &str| drop(print(&format!("{line}\n"))));
        simulation::run(args.seed, Some(reader))
    });
    let summary = played.await.context("the simulation broke off")??;
    print(&format!("kept every rule: {} changes to the engine in {} simulated seconds\n", summary.acts, summary.seconds))?;
    Ok(ExitCode::SUCCESS)
}
