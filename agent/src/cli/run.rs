//! `holdfast run`.

use std::process::ExitCode;

use crate::log_output;
use crate::settings::{Flags, SettingFault, Settings};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    let (settings, faults) = Settings::load(&args.flags, |name| std::env::var(name).ok())?;
    agent(settings, faults).await?;
    Ok(ExitCode::SUCCESS)
}

/// The agent itself, until it is asked to stop.
async fn agent(_settings: Settings, _faults: Vec<SettingFault>) -> anyhow::Result<()> {
    anyhow::bail!("this build has no agent in it")
}
