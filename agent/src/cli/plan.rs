//! `holdfast plan`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::ClientArgs;
use super::output::{paint, print, print_answer};
use super::render;
use crate::api::PlanAnswer;
use crate::client;

/// The largest file that is sent: as much as the agent reads.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// A target state document to plan for instead of the stored one; `-` reads it from standard input
    file: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let device = args.client.device();
    let reply = match &args.file {
        None => client::get(&device, "/v3/plan").await?,
        Some(file) => {
            let answer = client::post(&device, "/v3/plan", read(file)?).await;
            answer.with_context(|| format!("no plan could be made for the target file {}", file.display()))?
        }
    };
    if args.client.json {
        print_answer(&reply)?;
    } else {
        print(&render::plan(&reply.read::<PlanAnswer>()?, paint()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = || format!("the target file {} could not be read", file.display());
    let mut document = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_end(&mut document).with_context(shown)?;
    } else {
        let opened = std::fs::File::open(file).with_context(shown)?;
        opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut document).with_context(shown)?;
    }
    anyhow::ensure!(document.len() as u64 <= MAX_FILE_BYTES, "the target file {} is larger than 16 MiB", file.display());
    Ok(document)
}
