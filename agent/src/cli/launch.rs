//! `holdfast launch`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::log_output;
use crate::slot;

/// Arguments of `launch`.
#[derive(Debug, clap::Args)]
pub(super) struct LaunchArgs {
    /// Arguments of `run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Turns into the agent. Without the runtime that other commands have: nothing of this process is to stay.
pub(super) fn run(args: LaunchArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    Err(slot::launch(&args.arguments).into())
}
