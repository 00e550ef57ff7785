//! `holdfast lock`.

use std::process::ExitCode;

use super::ClientArgs;
use super::output::{paint, print, print_answer};
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
    let reply = client::get(&args.device(), "/v3/locks").await?;
    if args.json {
        print_answer(&reply)?;
    } else {
        print(&render::locks(&reply.read::<LockList>()?, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}
