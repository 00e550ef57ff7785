//! `holdfast data`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output::{print, print_json};
use super::render::size;
use crate::store::relocate;

/// What can be done with the agent's own data directory.
#[derive(Debug, clap::Subcommand)]
pub(super) enum DataCommand {
    /// Move the agent's data to another folder, for example from the host into a volume; no agent may run on either.
    Move(MoveArgs),
}

/// Arguments of `data move`.
#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// The data directory it lies in
    from: PathBuf,
    /// The folder it goes to
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: DataCommand) -> anyhow::Result<ExitCode> {
    let DataCommand::Move(MoveArgs { from, to, json }) = command;
    let moved = relocate(&from, &to)?;
    if json {
        print_json(&moved)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (files, bytes) = (moved.files.len(), size(moved.bytes));
    let mut text = format!("{files} files, {bytes}, moved from {} to {} and compared.\n", from.display(), to.display());
    if !moved.left.is_empty() {
        let left: Vec<String> = moved.left.iter().map(|path| path.display().to_string()).collect();
        text.push_str(&format!("Left where it is, since it is not the agent's: {}.\n", left.join(", ")));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
