//! `holdfast target`.

use std::process::ExitCode;

use serde_json::Value;

use super::ClientArgs;
use super::output::{print_answer, print_json};
use crate::client;

/// What can be done with the target.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TargetCommand {
    /// Print the stored target document; where it came from is said on stderr.
    Show(ClientArgs),
}

pub(super) async fn run(command: TargetCommand) -> anyhow::Result<ExitCode> {
    let TargetCommand::Show(args) = command;
    let reply = client::get(&args.socket(), "/v3/target").await?;
    if args.json {
        print_answer(&reply)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = reply.json()?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("none");
    eprint(&format!("# from {}, for device {}, ETag {}\n", text("source"), text("uuid"), text("etag")));
    // The document alone on stdout: what comes out goes into `holdfast plan FILE`.
    print_json(answer.get("target").unwrap_or(&Value::Null))?;
    Ok(ExitCode::SUCCESS)
}

/// A remark beside the output; nobody may be listening.
fn eprint(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
