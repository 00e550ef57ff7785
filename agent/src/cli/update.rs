//! `holdfast update`.

use std::process::ExitCode;

use serde_json::json;

use super::ClientArgs;
use super::output::{print, print_json};
use crate::client;

/// Arguments of `update`.
#[derive(Debug, clap::Args)]
pub(super) struct UpdateArgs {
    /// Break the update locks that applications hold
    #[arg(long)]
    force: bool,
    /// Give up downloads that are running and plan anew
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let request = json!({ "force": args.force, "cancel": args.cancel, "operator": true });
    client::post(&args.client.device(), "/v1/update", request.to_string()).await?;
    if args.client.json {
        print_json(&json!({ "status": "triggered" }))?;
    } else {
        let locks = if args.force { " Update locks are broken until it is settled." } else { "" };
        print(&format!("The agent looks for a new target now.{locks} Follow it with: holdfast status --watch\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
