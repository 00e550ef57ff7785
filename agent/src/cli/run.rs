//! `holdfast run`.

use std::process::ExitCode;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {}

pub(super) async fn run(_args: RunArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build has no agent in it")
}
