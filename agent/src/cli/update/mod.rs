//! `holdfast update`.

mod wait;

use std::process::ExitCode;
use std::time::Instant;

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
    /// Stay until the device runs what the cloud asks for, and show what is done and waited for meanwhile
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let request = json!({ "force": args.force, "cancel": args.cancel, "operator": true });
    let (device, asked) = (args.client.device(), Instant::now());
    client::post(&device, "/v1/update", request.to_string()).await?;
    if args.wait {
        return wait::run(&device, asked, args.client.json).await;
    }
    if args.client.json {
        print_json(&json!({ "status": "triggered" }))?;
    } else {
        let locks = if args.force { " Update locks are broken until it is settled." } else { "" };
        print(&format!("The agent looks for a new target now.{locks} Follow it with: holdfast status --watch\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
