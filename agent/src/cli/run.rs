//! `holdfast run`.

use std::process::ExitCode;

use crate::log_output;
use crate::settings::{Flags, Settings};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    let (settings, faults) = Settings::load(&args.flags, |name| std::env::var(name).ok())?;
    crate::app::run(settings, faults).await?;
    Ok(ExitCode::SUCCESS)
}
