//! `holdfast volume restore`.

use std::io;

use anyhow::Context;
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::super::output::{print, print_json};
use super::super::render::size;
use super::{RestoreArgs, archive_path, say_broken};
use crate::api::Restored;
use crate::client;
use crate::volume::{ArchiveReader, END_OF_ARCHIVE, Manifest, verify};

pub(super) async fn run(args: RestoreArgs) -> anyhow::Result<()> {
    let file = args.file.display();
    // Read to its end once, before anything is touched.
    let manifest = verify(&args.file).with_context(|| format!("{file} is not restored, the volume is as it was"))?;
    let sum = format!("sha256={}", manifest.sha256);
    let mut options = vec![sum.as_str()];
    options.extend(args.force.then_some("force=1"));
    let pieces = pieces(ArchiveReader::open(&args.file)?);
    let reply = client::upload(&args.client.device(), &archive_path(&args.name, &options), pieces).await?;
    let restored: Restored = reply.read()?;
    say_broken(&restored.copied.broken);
    if args.client.json {
        return print_json(&json!({ "restored": restored, "manifest": manifest }));
    }
    print(&sentence(&restored, &manifest))
}

fn sentence(restored: &Restored, manifest: &Manifest) -> String {
    let Restored { copied, counts, .. } = restored;
    let from = if copied.volume == manifest.volume { String::new() } else { format!(" of volume {}", manifest.volume) };
    let services = match copied.stopped.as_slice() {
        [] => "No service was running on it.".to_owned(),
        services => format!("Made anew for it: {}.", services.join(", ")),
    };
    let (files, bytes, made) = (counts.files, size(counts.file_bytes), &manifest.made);
    format!("Volume {} of {} holds the copy{from} made {made}: {files} files, {bytes}.\n{services}\n", copied.volume, copied.app)
}

/// The content of an archive, then the end mark; what is behind it stays behind.
fn pieces(reader: ArchiveReader) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<Bytes>> + Send>> {
    Box::pin(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next_content() {
            Ok(Some(content)) => Some((Ok(content.into()), Some(reader))),
            Ok(None) => Some((Ok(Bytes::from_static(&END_OF_ARCHIVE)), None)),
            Err(cause) => Some((Err(io::Error::other(cause)), None)),
        }
    }))
}
