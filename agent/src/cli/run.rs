//! `holdfast run`.

use std::process::ExitCode;

use crate::app::{self, Ending};
use crate::log_output;
use crate::settings::{Flags, Settings};
use crate::slot::{self, Launched};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    let mut trial = None;
    loop {
        let (settings, faults) = Settings::load(&args.flags, |name| std::env::var(name).ok())?;
        let guard = || slot::guard(&settings.data_dir, Launched::from_environment(), settings.update_deadline);
        let trial = trial.get_or_insert_with(guard).clone();
        match Box::pin(app::run(settings, faults, trial)).await? {
            Ending::Asked => return Ok(ExitCode::SUCCESS),
            Ending::Replaced => return Ok(ExitCode::from(slot::RESTART)),
            Ending::Changed => log::warn!("starting anew with config.json as it is now"),
            Ending::Reopen => log::warn!("starting anew with the database as it is now"),
        }
    }
}
