//! `holdfast db`.

use std::process::ExitCode;

use super::db_import;

/// What can be done with the database.
#[derive(Debug, clap::Subcommand)]
pub(super) enum DbCommand {
    /// Take over balena-supervisor's database, an apps.json or an older tool's JSON file; the file is left as it is
    Import(Box<db_import::ImportArgs>),
}

pub(super) async fn run(command: DbCommand) -> anyhow::Result<ExitCode> {
    match command {
        DbCommand::Import(args) => db_import::run(*args).await,
    }
}
