//! `holdfast target`.

use std::process::ExitCode;

use serde_json::Value;

use super::ClientArgs;
use super::output::{print, print_json};
use crate::client;

/// What can be done with the target.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TargetCommand {
    /// Print the stored target document; where it came from is said on stderr.
    Show(ClientArgs),
}

pub(super) async fn run(command: TargetCommand) -> anyhow::Result<ExitCode> {
    let TargetCommand::Show(args) = command;
    let answer: Value = client::get(&args.socket(), "/v3/target").await?.json()?;
    if args.json {
        print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("none");
    eprint(&format!("# from {}, for device {}, ETag {}\n", text("source"), text("uuid"), text("etag")));
    // The document alone on stdout: what comes out goes into `holdfast plan FILE`.
    print_json(answer.get("target").unwrap_or(&Value::Null))?;
    print("")?;
    Ok(ExitCode::SUCCESS)
}

/// A remark beside the output; nobody may be listening.
fn eprint(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
