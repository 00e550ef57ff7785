//! `holdfast target`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::ClientArgs;
use super::output::{paint, print, print_answer, print_json, remark};
use super::render;
use crate::api::History;
use crate::client::{self, ClientError};
use crate::clock::{Clock, SystemClock};
use crate::settings::{Flags, Settings};
use crate::store::history_of;

/// What can be done with the target.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TargetCommand {
    /// Print the stored target document; where it came from is said on stderr.
    Show(ClientArgs),
    /// Give the device a target of its own, in local mode or without a cloud; `-` reads it from standard input.
    Set(SetArgs),
    /// Show past targets and what was reached, newest first; from the file when no agent runs.
    History(HistoryArgs),
}

/// Arguments of `target set`.
#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// The target: {"local": {"name", "config", "apps"}} as balena has it, or a document of the cloud's for this device
    file: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

/// Arguments of `target history`.
#[derive(Debug, clap::Args)]
pub(super) struct HistoryArgs {
    /// Data directory, when no agent runs [env: HOLDFAST_DATA_DIR] [default: /data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Database, when no agent runs [env: DATABASE_PATH] [default: <data-dir>/database.sqlite]
    #[arg(long, value_name = "FILE")]
    database: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(command: TargetCommand) -> anyhow::Result<ExitCode> {
    match command {
        TargetCommand::Show(args) => show(args).await,
        TargetCommand::Set(args) => set(args).await,
        TargetCommand::History(args) => history(args).await,
    }
}

async fn set(args: SetArgs) -> anyhow::Result<ExitCode> {
    let document = super::plan::read(&args.file)?;
    let reply = client::post(args.client.device(), "/v2/local/target-state", document).await?;
    if args.client.json {
        print_answer(&reply)?;
    } else {
        print("The device's own target is in force. Follow it with: holdfast status --watch\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn history(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let device = args.client.device();
    let history = match client::get(&device, "/v3/target/history").await {
        Ok(reply) if args.client.json => {
            print_answer(&reply)?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(reply) => reply.read()?,
        Err(away @ ClientError::NotReachable { .. }) => {
            let flags = Flags { data_dir: args.data_dir, database: args.database, ..Flags::default() };
            let (settings, _) = Settings::load(&flags, |name| std::env::var(name).ok())?;
            if !settings.database.exists() {
                return Err(away.into());
            }
            remark(&format!("# no agent answers; read from {}\n", settings.database.display()));
            History::new(history_of(&settings.database)?, SystemClock.now())
        }
        Err(error) => return Err(error.into()),
    };
    if args.client.json {
        print_json(&history)?;
    } else {
        print(&render::history(&history, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: ClientArgs) -> anyhow::Result<ExitCode> {
    let reply = client::get(&args.device(), "/v3/target").await?;
    if args.json {
        print_answer(&reply)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = reply.json()?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or("none");
    remark(&format!("# from {}, for device {}, ETag {}\n", text("source"), text("uuid"), text("etag")));
    // The document alone on stdout: what comes out goes into `holdfast plan FILE`.
    print_json(answer.get("target").unwrap_or(&Value::Null))?;
    Ok(ExitCode::SUCCESS)
}
