//! `holdfast version`.

use std::process::ExitCode;

use serde_json::json;

use super::output::{print, print_json};
use crate::cloud::SUPERVISOR_COMPATIBLE_VERSION;
use crate::version::AGENT_VERSION;

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: VersionArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        print_json(&json!({ "version": AGENT_VERSION, "compatible_version": SUPERVISOR_COMPATIBLE_VERSION }))?;
    } else {
        print(&format!("holdfast {AGENT_VERSION} (compatible with balena-supervisor {SUPERVISOR_COMPATIBLE_VERSION})\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
