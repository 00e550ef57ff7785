//! `holdfast self-update`: through the agent when one runs, on its slots when none does.

mod follow;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::ClientArgs;
use super::exit::Usage;
use super::output::{print, print_answer, print_json};
use crate::client::{self, ClientError};
use crate::clock::{Clock, SystemClock};
use crate::engine::DEFAULT_ADDRESSES;
use crate::log_output;
use crate::settings::{Flags, Settings};
use crate::slot::container::{self, EngineLink};
use crate::slot::{Before, Folder, Ground, Job, Seen, Source, begin, decode_signature, obtain, put, sha256_of};
use crate::store::{DataLock, Place, StoreError, Task, schema_of, work_on_file};

/// Arguments of `self-update`.
#[derive(Debug, clap::Args)]
pub(super) struct SelfUpdateArgs {
    /// The new agent: a file, or an http or https address
    #[arg(required_unless_present_any = ["check", "show", "image"], value_name = "FILE|URL")]
    source: Option<String>,
    /// Its SHA-256, in hex
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Its ed25519 signature: base64, or a file that holds it
    #[arg(long, value_name = "FILE|BASE64")]
    signature: Option<String>,
    /// It need not reach the cloud to prove itself
    #[arg(long)]
    offline: bool,
    /// The new image, where the agent is a container
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["source", "sha256", "signature"])]
    image: Option<String>,
    /// Replace the container that the labels of this one name
    #[arg(long, hide = true, exclusive = true)]
    helper: bool,
    /// Have the agent look now whether another version is wanted
    #[arg(long, conflicts_with = "source")]
    check: bool,
    /// Show which version runs, and what became of the last attempt
    #[arg(long, conflicts_with_all = ["source", "check"])]
    show: bool,
    /// Data directory, for when no agent runs [env: HOLDFAST_DATA_DIR] [default: /data]
    #[arg(long, value_name = "FOLDER", conflicts_with = "host")]
    data_dir: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

const ON_TRIAL: &str = "The new agent is started on trial. See what becomes of it with: holdfast self-update --show\n";

pub(super) async fn run(args: SelfUpdateArgs) -> anyhow::Result<ExitCode> {
    let device = args.client.device();
    if args.helper {
        help(&args).await?;
    } else if args.show {
        print_answer(&client::get(&device, "/v3/agent").await?)?;
    } else if args.check {
        client::post(&device, "/v3/agent/check", "").await?;
    } else {
        let job = job(&args)?;
        if args.client.host.is_some() && matches!(job.source, Source::File(_)) {
            let text = "a file of this machine is not the other device's: give a URL, or copy the file there and run this there";
            return Err(Usage(text.to_owned()).into());
        }
        match client::post(&device, "/v3/agent/update", request(&job, args.signature.as_deref())?).await {
            Ok(_) => {
                follow::follow(&device, args.image.is_some(), args.client.json).await?;
                done(args.client.json, ON_TRIAL)?;
            }
            Err(away @ ClientError::NotReachable { .. }) => install(&args, job, &away).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn job(args: &SelfUpdateArgs) -> anyhow::Result<Job> {
    let given = args.source.clone().unwrap_or_default();
    let source = if let Some(image) = &args.image {
        Source::Image(image.clone())
    } else if given.contains("://") {
        Source::Url(given)
    } else {
        Source::File(std::path::absolute(&given).with_context(|| format!("{given}: it cannot be found"))?)
    };
    let sha256 = args.sha256.as_deref().map(|sum| sha256_of(sum).context("--sha256: 64 hexadecimal digits are expected"));
    let sha256 = sha256.transpose()?;
    let text = args.signature.as_deref().map(signature_text).transpose()?;
    let signature = text.map(|text| decode_signature(&text).context("--signature: an ed25519 signature in base64 is expected"));
    Ok(Job { source, sha256, signature: signature.transpose()?, wish: None, offline: args.offline })
}

/// What was given, or what the file holds whose name was given.
fn signature_text(given: &str) -> anyhow::Result<String> {
    if !Path::new(given).is_file() {
        return Ok(given.to_owned());
    }
    std::fs::read_to_string(given).with_context(|| format!("{given}: it holds no signature in base64"))
}

fn request(job: &Job, signature: Option<&str>) -> anyhow::Result<String> {
    let (field, value) = match &job.source {
        Source::File(file) => ("file", json!(file)),
        Source::Url(url) => ("url", json!(url)),
        Source::Image(image) => ("image", json!(image)),
    };
    let signature = signature.map(signature_text).transpose()?;
    let mut request = json!({ "sha256": job.sha256, "signature": signature, "offline": job.offline });
    request[field] = value;
    Ok(request.to_string())
}

fn done(as_json: bool, text: &str) -> anyhow::Result<()> {
    if as_json { print_json(&json!({ "status": "on trial" })) } else { print(text) }
}

/// Does what the agent would do, while none runs.
async fn install(args: &SelfUpdateArgs, job: Job, away: &ClientError) -> anyhow::Result<()> {
    let (settings, place) = settings(args)?;
    ensure!(args.image.is_none(), "{away}; only an agent that runs can have its image replaced");
    ensure!(
        place.data_dir.is_dir(),
        "{away}; and there is no folder {}: name the data directory with --data-dir",
        place.data_dir.display()
    );
    let folder = Folder::of(&place.data_dir);
    let ground = Ground {
        folder: folder.clone(),
        key: settings.update_key.clone(),
        host_root: settings.host_root.clone(),
        root_ca_pem: settings.cloud.root_ca_pem.clone(),
        turn: std::sync::Arc::default(),
    };
    // The copy takes the data directory for itself; whoever held it would be told here.
    let (schema, backup) = back_up(&place)?;
    let _lock = DataLock::take(&place.data_dir)?;
    let slots = folder.load()?;
    ensure!(slots.trial.is_none(), "a version is on trial; start the agent and see what becomes of it");
    let cloud = !job.offline && !settings.cloud.api_endpoint.is_empty();
    let candidate = obtain(&ground, &job, slots.free()).await?;
    let (slots, slot) = put(&folder, slots, &candidate)?;
    begin(&folder, slots, slot, &candidate, Before { backup, schema, cloud, wish: None })?;
    let text = format!("No agent runs. Version {} is tried at the next start of holdfast launch.\n", candidate.version);
    done(args.client.json, &text)
}

fn settings(args: &SelfUpdateArgs) -> anyhow::Result<(Settings, Place)> {
    let flags = Flags { data_dir: args.data_dir.clone(), ..Flags::default() };
    let (settings, _) = Settings::load(&flags, |name| std::env::var(name).ok())?;
    let place = Place::of(&settings);
    Ok((settings, place))
}

/// What the helper does, in a container of its own.
async fn help(args: &SelfUpdateArgs) -> anyhow::Result<()> {
    log_output::start();
    let (settings, place) = settings(args)?;
    let given = settings.engine.as_deref().into_iter();
    let sockets = given.chain(DEFAULT_ADDRESSES).filter_map(|address| address.strip_prefix("unix://")).map(PathBuf::from);
    let socket = sockets.into_iter().find(|socket| socket.exists()).context("no engine's socket is in this container")?;
    let api = settings.socket.clone();
    let ask = move || -> std::pin::Pin<Box<dyn Future<Output = Option<Seen>> + Send>> { Box::pin(seen(api.clone())) };
    Ok(container::help(&EngineLink { socket }, &place, settings.update_deadline, &ask).await?)
}

/// What the agent that listens there has seen.
async fn seen(socket: PathBuf) -> Option<Seen> {
    let status: Value = client::get(&socket, "/v3/status").await.ok()?.json().ok()?;
    let away = ["starting", "engine-away"].iter().any(|phase| status["phase"]["name"] == *phase);
    let cloud = status["cloud"]["endpoint"] == "" || status["cloud"]["last_poll"].is_object();
    Some(Seen { engine: status["engine"].is_object() && !away, cloud })
}

/// Makes a copy of the database, where there is one; its schema version and the copy.
fn back_up(place: &Place) -> anyhow::Result<(u32, Option<PathBuf>)> {
    if !place.database.exists() {
        return Ok((0, None));
    }
    let made = work_on_file(place, &Task::Backup { only_if_changed: true }, SystemClock.now());
    match made {
        Ok(done) => Ok((schema_of(&place.database)?, done.backups.into_iter().next().map(|copy| PathBuf::from(copy.path)))),
        Err(held @ StoreError::Held { .. }) => Err(held).context("the agent runs but does not answer"),
        // A database that cannot be copied may be why another agent is to be installed.
        Err(error) => {
            log::warn!("no copy of the database: {error}");
            Ok((schema_of(&place.database).unwrap_or_default(), None))
        }
    }
}
