//! `holdfast diagnose --fix`: remedies that lose nothing, each asked for by its name.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use holdfast_plan::current::LockHolder;
use hyper::Method;
use serde_json::{Value, json};

use super::super::exit::FAILED;
use super::super::output::{print, print_json};
use crate::client;
use crate::clock::{Clock, SystemClock};
use crate::diagnose::Scene;
use crate::lock::LockRoot;
use crate::store::{DataLock, StoreError, Task, backups_of, content_of, target_source, work_on_file};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Remedy {
    /// Put the newest verified backup in the database's place; the present one is kept
    RestoreDatabase,
    /// Remove images without a name that no container uses and the agent does not want
    PruneImages,
    /// Remove the agent's own update locks, when no agent runs
    StaleLocks,
}

/// Carries them out in the order given, and goes on when one fails.
pub(super) async fn run(scene: &Scene, remedies: &[Remedy], as_json: bool) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    let mut failed = false;
    for remedy in remedies {
        let name = match remedy {
            Remedy::RestoreDatabase => "restore-database",
            Remedy::PruneImages => "prune-images",
            Remedy::StaleLocks => "stale-locks",
        };
        let outcome = match remedy {
            Remedy::RestoreDatabase => restore(scene).await,
            Remedy::PruneImages => prune(scene).await,
            Remedy::StaleLocks => release(scene),
        };
        failed |= outcome.is_err();
        let (done, text) = match outcome {
            Ok(text) => (true, text),
            Err(error) => (false, format!("{error:#}")),
        };
        rows.push(json!({ "fix": name, "done": done, "text": text }));
    }
    if as_json {
        print_json(&rows)?;
    } else {
        let line = |row: &Value| format!("{}: {}\n", row["fix"].as_str().unwrap_or(""), row["text"].as_str().unwrap_or(""));
        print(&rows.iter().map(line).collect::<String>())?;
    }
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// On the file; when an agent holds it, by that agent.
async fn restore(scene: &Scene) -> anyhow::Result<String> {
    let place = scene.place();
    let newest = backups_of(&place, true)?.into_iter().find(|backup| backup.verified);
    let newest = newest.ok_or_else(|| anyhow::anyhow!("no backup in {} passes its check", place.backups().display()))?;
    let task = Task::Restore { file: PathBuf::from(&newest.path) };
    match work_on_file(&place, &task, SystemClock.now()) {
        Ok(done) => Ok(done.text),
        Err(StoreError::Held { .. }) => {
            let body = json!({ "file": newest.path }).to_string();
            let reply = client::post(&scene.settings.socket, "/v3/db/restore", body).await?;
            Ok(reply.json()?["text"].as_str().unwrap_or_default().to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// An image that the database names is wanted: by a release that is downloaded and waits, or one to go back to.
async fn prune(scene: &Scene) -> anyhow::Result<String> {
    let settings = &scene.settings;
    let uuid = settings.cloud.uuid.clone().unwrap_or_default();
    let known = content_of(&settings.database, target_source(&settings.cloud.api_endpoint), &uuid)
        .map_err(|error| anyhow::anyhow!("what the agent wants is not known, so nothing is removed: {error}"))?;
    let records = &known.memory.images;
    let wanted = |image: &Value| {
        let id = image["Id"].as_str().unwrap_or_default();
        let digests = image["RepoDigests"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // One that is being pulled has a name in the database before it has an id there.
        let digests: Vec<&str> = digests.filter_map(|name| name.split_once('@')).map(|(_, digest)| digest).collect();
        records.iter().any(|(name, record)| record.engine_id == id || digests.iter().any(|digest| name.ends_with(digest)))
    };
    let ask = |method, path: String| async move { scene.ask_engine(method, &path).await.map_err(anyhow::Error::msg) };
    let list = ask(Method::GET, "/images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D".to_owned()).await?;
    let (mut count, mut bytes, mut kept) = (0, 0, 0);
    for image in list.as_array().into_iter().flatten() {
        let id = image["Id"].as_str().unwrap_or_default();
        if id.is_empty() || wanted(image) {
            kept += 1;
            continue;
        }
        // The engine refuses what a container uses or another image is made of; nothing is forced.
        match ask(Method::DELETE, format!("/images/{id}")).await {
            Ok(_) => (count, bytes) = (count + 1, bytes + image["Size"].as_u64().unwrap_or(0)),
            Err(_) => kept += 1,
        }
    }
    Ok(format!("{count} images of {} removed, {kept} kept: used or wanted", super::render::size(bytes)))
}

fn release(scene: &Scene) -> anyhow::Result<String> {
    let root = LockRoot::new(scene.on_host(&scene.settings.lock_dir.to_string_lossy()));
    // Held until they are gone, so that no agent starts meanwhile and takes them for its own.
    let _lock = match DataLock::take(&scene.settings.data_dir) {
        Ok(lock) => lock,
        Err(held @ StoreError::Held { .. }) => anyhow::bail!("an agent runs, and its locks are in use: {held}"),
        Err(error) => return Err(error.into()),
    };
    let locks = root.look()?;
    let mut count = 0;
    for (app, services) in &locks.held {
        let ours = services.iter().filter(|(_, lock)| matches!(lock.holder, LockHolder::Agent { .. }));
        let ours: BTreeSet<String> = ours.map(|(service, _)| service.clone()).collect();
        count += ours.len();
        root.release(*app, &ours)?;
    }
    Ok(format!("{count} locks of the agent removed"))
}
