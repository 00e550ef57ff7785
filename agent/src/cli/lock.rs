//! `holdfast lock`.

use std::process::ExitCode;

use super::ClientArgs;
use super::output::{paint, print, print_json};
use super::render;
use crate::api::LockList;
use crate::client;

/// What can be done with update locks.
#[derive(Debug, clap::Subcommand)]
pub(super) enum LockCommand {
    /// Show every update lock: who holds it, since when, and what waits for it.
    List(ClientArgs),
}

pub(super) async fn run(command: LockCommand) -> anyhow::Result<ExitCode> {
    let LockCommand::List(args) = command;
    let locks: LockList = client::get(&args.socket(), "/v3/locks").await?.json()?;
    if args.json {
        print_json(&locks)?;
    } else {
        print(&render::locks(&locks, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}
