//! `holdfast demo`.

use std::process::ExitCode;

use super::exit::FAILED;
use crate::log_output;
use crate::sandbox::demo::{self, DemoOptions, EngineChoice};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// On which engine: auto (Docker if one answers, else the simulated one), docker or sim
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: EngineChoice,
    /// End when everything was shown, instead of leaving the agent up until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    let options = DemoOptions { engine: args.engine, exit: args.exit, json: args.json, program: None };
    let came_true = demo::run(options).await?;
    Ok(if came_true { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
