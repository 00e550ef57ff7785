//! `holdfast db import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::output::{print, print_json};
use crate::import::{self, Imported};
use crate::log_output;
use crate::settings::{Flags, Settings};
use crate::store::{SqliteStore, Store, StoreError, target_source};

/// Arguments of `db import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// balena-supervisor's database.sqlite, an apps.json, or a JSON file of state from an older tool
    file: PathBuf,
    /// Also where this device has a target already: the imported one takes its place
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    log_output::start();
    let (settings, _) = Settings::load(&args.flags, |name| std::env::var(name).ok())?;
    let store = open(&settings)?;
    let source = target_source(&settings.cloud.api_endpoint);
    let loaded = store.load(source, settings.cloud.uuid.as_deref().unwrap_or_default()).await?;
    anyhow::ensure!(
        args.replace || !loaded.memory.target_stored,
        "this device has a target of its own already, nothing was imported; --replace puts the imported one in its place"
    );
    let imported = import::read_named(&args.file, &settings)?;
    let stored = store.commit(imported.changes.clone()).await;
    stored.with_context(|| format!("what {} says could not be stored, nothing was imported", args.file.display()))?;
    if let Err(error) = import::keep_copy(&args.file, &settings) {
        log::warn!("{}: {}", error.path, error.what);
    }
    tell(&args, &imported)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the agent's own database. While an agent runs it is refused: the loop holds in memory what would change under it.
fn open(settings: &Settings) -> anyhow::Result<SqliteStore> {
    SqliteStore::open(&settings.data_dir, &settings.database).map_err(|error| match error {
        held @ StoreError::Held { .. } => anyhow::Error::new(held).context(
            "nothing was imported: an agent runs; stop it (systemctl stop holdfast), import, start it again; \
             containers go on meanwhile",
        ),
        other => other.into(),
    })
}

fn tell(args: &ImportArgs, imported: &Imported) -> anyhow::Result<()> {
    if args.json {
        return print_json(&json!({
            "file": args.file.display().to_string(), "taken": imported.taken, "remarks": imported.remarks,
            "target": imported.has_target,
        }));
    }
    let mut text = format!("taken over from {}: {}\n", args.file.display(), imported.summary());
    imported.remarks.iter().for_each(|remark| text.push_str(&format!("note: {remark}\n")));
    print(&text)
}
