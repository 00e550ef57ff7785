//! `holdfast healthy`.

use std::process::ExitCode;

use serde_json::json;

use super::ClientArgs;
use super::exit::FAILED;
use super::output::{print, print_json};
use crate::api::Status;
use crate::client::{self, ClientError};

/// Arguments of `healthy`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthyArgs {
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: HealthyArgs) -> anyhow::Result<ExitCode> {
    let device = args.client.device();
    let reasons = match client::get(&device, "/v1/healthy").await {
        Ok(_) => Vec::new(),
        // The verdict is one word; the status says what is behind it.
        Err(ClientError::Refused { .. }) => match client::get(&device, "/v3/status").await?.read::<Status>()?.health.reasons {
            reasons if reasons.is_empty() => vec!["for a reason that has passed since".to_owned()],
            reasons => reasons,
        },
        Err(error) => return Err(error.into()),
    };
    let healthy = reasons.is_empty();
    match (args.client.json, healthy) {
        (true, _) => print_json(&json!({ "healthy": healthy, "reasons": reasons }))?,
        (false, true) => print("healthy\n")?,
        (false, false) => print(&format!("unhealthy: {}\n", reasons.join("; ")))?,
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
