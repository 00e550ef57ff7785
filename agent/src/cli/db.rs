//! `holdfast db`: through the agent when one runs, on the file when none does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::ClientArgs;
use super::db_import;
use super::exit::{FAILED, Usage};
use super::output::{print, print_json};
use super::render;
use crate::client;
use crate::clock::{Clock, SystemClock};
use crate::settings::{Flags, Settings};
use crate::store::{Done, Place, StoreError, Task, revert_to, work_on_file};

/// How long a check may take while nobody waits for the file.
const CHECK_LIMIT: Duration = Duration::from_secs(3600);

/// Where the database is, for when no agent runs.
#[derive(Debug, clap::Args)]
pub(super) struct DbArgs {
    /// Data directory [env: HOLDFAST_DATA_DIR] [default: /data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Database [env: DATABASE_PATH] [default: <data-dir>/database.sqlite]
    #[arg(long, value_name = "FILE")]
    database: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// What can be done with the database. It works on the file when no agent runs, through the agent when one does.
#[derive(Debug, clap::Subcommand)]
pub(super) enum DbCommand {
    /// Check every page, index, constraint and row; exit code 1 when it is damaged.
    Check(DbArgs),
    /// Make a verified copy.
    Backup(DbArgs),
    /// List the copies, each opened and checked, and what was set aside.
    List(DbArgs),
    /// Put a copy in the database's place; the replaced file is kept.
    Restore {
        /// The copy: a path, or a name as `list` shows it.
        file: PathBuf,
        #[command(flatten)]
        args: DbArgs,
    },
    /// Give unused pages back to the file system.
    Vacuum(DbArgs),
    /// Move the log into the file.
    Checkpoint(DbArgs),
    /// Bring the schema to this agent's version, after a verified copy.
    Migrate {
        /// Go back to an older version instead, with the scripts stored in the database: only while no agent runs.
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        #[command(flatten)]
        args: DbArgs,
    },
    /// Take over balena-supervisor's database, an apps.json or an older tool's JSON file; the file is left as it is.
    Import(Box<db_import::ImportArgs>),
}

/// How the agent is asked for it.
struct Request {
    path: &'static str,
    body: Option<String>,
}

pub(super) async fn run(command: DbCommand) -> anyhow::Result<ExitCode> {
    let (task, args, path) = match command {
        DbCommand::Check(args) => (Task::Check { limit: CHECK_LIMIT }, args, "/v3/db/check"),
        DbCommand::Backup(args) => (Task::Backup { only_if_changed: false }, args, "/v3/db/backup"),
        DbCommand::List(args) => (Task::List, args, "/v3/db/backups"),
        DbCommand::Restore { file, args } => {
            // With --host it is a file of that device.
            let file = if args.client.host.is_some() { file } else { absolute(file) };
            (Task::Restore { file }, args, "/v3/db/restore")
        }
        DbCommand::Vacuum(args) => (Task::Vacuum, args, "/v3/db/vacuum"),
        DbCommand::Checkpoint(args) => (Task::Checkpoint, args, "/v3/db/checkpoint"),
        DbCommand::Migrate { to: None, args } => (Task::Migrate, args, "/v3/db/migrate"),
        DbCommand::Migrate { to: Some(version), args } => {
            if let Some(host) = &args.client.host {
                let text = format!(
                    "--to works on the file while no agent runs: run holdfast db migrate --to {version} on {host} itself"
                );
                return Err(Usage(text).into());
            }
            let done = revert_to(&place(&args)?, version, SystemClock.now())?;
            return show(&done, args.client.json);
        }
        DbCommand::Import(args) => return db_import::run(*args).await,
    };
    let body = match &task {
        Task::List => None,
        Task::Restore { file } => Some(json!({ "file": file }).to_string()),
        _ => Some(String::new()),
    };
    let done = carry_out(&args, &task, Request { path, body }).await?;
    show(&done, args.client.json)
}

/// On the file; when an agent holds it, by that agent. The file of another device is only reached through its agent.
async fn carry_out(args: &DbArgs, task: &Task, request: Request) -> anyhow::Result<Done> {
    let why_agent = match &args.client.host {
        Some(host) => {
            if args.data_dir.is_some() || args.database.is_some() {
                let text = format!(
                    "--data-dir and --database name files of this machine; {host} is asked through its agent, leave them out"
                );
                return Err(Usage(text).into());
            }
            format!("only the agent of {host} can be asked from here; while none runs, run the command on the device itself")
        }
        None => match work_on_file(&place(args)?, task, SystemClock.now()) {
            Ok(done) => return Ok(done),
            Err(held @ StoreError::Held { .. }) => held.to_string(),
            Err(error) => return Err(error.into()),
        },
    };
    let device = args.client.device();
    let reply = match request.body {
        None => client::get(&device, request.path).await,
        Some(body) => client::post(&device, request.path, body).await,
    };
    let reply = reply.map_err(|error| match error {
        away if away.is_not_reachable() => anyhow::Error::new(away).context(why_agent),
        other => other.into(),
    })?;
    Ok(reply.read()?)
}

fn place(args: &DbArgs) -> anyhow::Result<Place> {
    let flags = Flags { data_dir: args.data_dir.clone(), database: args.database.clone(), ..Flags::default() };
    // What is wrong in config.json says nothing about the database.
    let (settings, _) = Settings::load(&flags, |name| std::env::var(name).ok())?;
    Ok(Place::of(&settings))
}

/// A file that is there by its whole path, so that the agent finds it too; else a name among the backups.
fn absolute(file: PathBuf) -> PathBuf {
    let named = |file: &Path| file.components().count() == 1 && !file.exists();
    if named(&file) { file } else { std::path::absolute(&file).unwrap_or(file) }
}

fn show(done: &Done, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        print_json(done)?;
    } else {
        print(&render::done(done))?;
    }
    Ok(if done.ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
