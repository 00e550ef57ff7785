//! `holdfast volume`.

mod backup;
mod restore;

use std::path::PathBuf;
use std::process::ExitCode;

use super::ClientArgs;
use super::output::{paint, print, print_answer, remark};
use super::render;
use crate::api::VolumeList;
use crate::client;

/// What can be done with the volumes of apps.
#[derive(Debug, clap::Subcommand)]
pub(super) enum VolumeCommand {
    /// Show every volume: its size, which services use it, since when it is there, and what becomes of it.
    List(ClientArgs),
    /// Copy a volume into a compressed archive; its services are stopped for it and started again.
    Backup(BackupArgs),
    /// Replace a volume's content by an archive's; the containers that use it are made anew for it.
    Restore(RestoreArgs),
}

/// Arguments of `volume backup`.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The volume, by its name in the engine (7_data) or in its release (data)
    name: String,
    /// Where the archive goes [default: NAME-TIME.tar.gz in this folder]
    file: Option<PathBuf>,
    /// Copy while the services go on: what they write meanwhile may be torn
    #[arg(long, conflicts_with = "force")]
    live: bool,
    /// Break the update locks that applications hold
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Arguments of `volume restore`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The volume, by its name in the engine (7_data) or in its release (data)
    name: String,
    /// The archive
    file: PathBuf,
    /// Break the update locks that applications hold
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(command: VolumeCommand) -> anyhow::Result<ExitCode> {
    match command {
        VolumeCommand::List(args) => list(&args).await?,
        VolumeCommand::Backup(args) => backup::run(args).await?,
        VolumeCommand::Restore(args) => restore::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &ClientArgs) -> anyhow::Result<()> {
    let reply = client::get(&args.device(), "/v3/volumes").await?;
    if args.json { print_answer(&reply) } else { print(&render::volumes(&reply.read::<VolumeList>()?, paint())) }
}

/// The path of a volume's content. The name is a person's: what a path cannot hold is written in percents.
fn archive_path(name: &str, options: &[&str]) -> String {
    format!("/v3/volumes/{}/archive?{}", client::escaped(name), options.join("&"))
}

/// Says which locks were broken, on the side of what went wrong.
fn say_broken(broken: &[String]) {
    for lock in broken {
        remark(&format!("holdfast: the application's update lock {lock} was broken\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        assert_eq!(archive_path("5_data", &["live=1"]), "/v3/volumes/5_data/archive?live=1");
        assert_eq!(archive_path("a/../b c", &[]), "/v3/volumes/a%2F..%2Fb%20c/archive?");
    }
}
