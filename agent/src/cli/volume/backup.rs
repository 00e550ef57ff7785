//! `holdfast volume backup`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::json;

use super::super::output::{print, print_json};
use super::super::render::size;
use super::{BackupArgs, archive_path, say_broken};
use crate::api::{Copied, FromAnswer, VOLUME_HEADER, rfc3339};
use crate::client::{self, Download};
use crate::volume::{ArchiveWriter, Manifest};

pub(super) async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let made = rfc3339(now_ms());
    let mut options = Vec::new();
    options.extend(args.live.then_some("live=1"));
    options.extend(args.force.then_some("force=1"));
    // Before any service is stopped for it.
    let early = args.file.as_deref().map(ArchiveWriter::create).transpose()?;
    let mut download = client::download(&args.client.device(), &archive_path(&args.name, &options)).await?;
    let about: Copied = download
        .headers
        .get(VOLUME_HEADER)
        .and_then(|value| serde_json::from_slice(value.as_bytes()).ok())
        .map(|value| Copied::from_answer(&value))
        .context("the agent does not say what it sends, is it another version than this command line?")?;
    say_broken(&about.broken);
    let path = args.file.unwrap_or_else(|| default_path(&about.volume, &made));
    let mut writer = match early {
        Some(writer) => writer,
        None => ArchiveWriter::create(&path)?,
    };
    receive(&mut download, &mut writer).await?;
    // The services are let go before the archive is read back.
    drop(download);
    let manifest = Manifest {
        volume: about.volume.clone(),
        app_id: about.app_id,
        app: about.app.clone(),
        live: args.live,
        made,
        agent_version: crate::version::AGENT_VERSION.to_owned(),
        ..Manifest::default()
    };
    let manifest = writer.finish(manifest).with_context(|| format!("volume {}: no archive was made", about.volume))?;
    let archive_bytes = std::fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
    if args.client.json {
        let stopped = &about.stopped;
        return print_json(&json!({ "file": path, "archive_bytes": archive_bytes, "stopped": stopped, "manifest": manifest }));
    }
    let stopped = match (args.live, about.stopped.as_slice()) {
        (true, _) => "Copied while its services went on.".to_owned(),
        (false, []) => "No service was running on it.".to_owned(),
        (false, services) => format!("Stopped for it, and running again: {}.", services.join(", ")),
    };
    print(&format!(
        "Volume {} of {}: {} files, {}, in {} ({}), read back and whole.\n{stopped}\n",
        about.volume,
        about.app,
        manifest.counts.files,
        size(manifest.counts.file_bytes),
        path.display(),
        size(archive_bytes),
    ))
}

async fn receive(download: &mut Download, writer: &mut ArchiveWriter) -> anyhow::Result<()> {
    while let Some(bytes) = download.next().await? {
        writer.feed(&bytes)?;
    }
    Ok(())
}

/// `<volume>-<time>.tar.gz`, with a time that any file system takes.
fn default_path(volume: &str, made: &str) -> PathBuf {
    let time: String = made.chars().take("2026-01-01T00:00:00".len()).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{volume}-{time}Z.tar.gz").into()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|time| i64::try_from(time.as_millis()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_named_after_volume_and_time() {
        assert_eq!(default_path("5_data", &rfc3339(1_767_225_600_000)), PathBuf::from("5_data-20260101T000000Z.tar.gz"));
    }
}
