//! Copies of volumes through the engine's archive calls. They work on a container that mounts the volume and was never
//! started, of whatever image: so a copy needs nothing but the engine.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, ListContainersOptions, RemoveContainerOptions, UploadToContainerOptions,
};
use bollard::{Docker, body_try_stream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use super::names::checked;
use super::{LOOK_LIMIT, Shared, WORK_LIMIT};
use crate::engine::{Content, EngineError, Result};

/// Label on the containers that copies are made through; its value is the volume.
const COPY: &str = "io.holdfast.copy";
/// Where they mount the volume: a folder with one entry, so that the volume's own root can be written from above.
const ABOVE: &str = "/holdfast";
const ROOT: &str = "/holdfast/volume";
/// The same as an entry of an archive that is unpacked in the folder above.
const ROOT_ENTRY: &[u8] = b"volume/";
/// A tar block.
const BLOCK: usize = 512;
/// The longest that the engine may be silent in the middle of a copy.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// The longest copy.
const COPY_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A container that mounts a volume and never runs. It is removed when this is dropped.
struct Copy {
    shared: Arc<Shared>,
    id: String,
    open: bool,
}

impl Copy {
    async fn open(shared: &Arc<Shared>, volume: &str, image: &str, read_only: bool) -> Result<Copy> {
        let object = format!("copy of volume {volume}");
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(checked(&object, volume)?.to_owned()),
            target: Some(ROOT.to_owned()),
            read_only: Some(read_only),
            // What the image has at this place is none of the volume's business.
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // Never run, but an image without a command of its own must be given one.
            cmd: Some(vec!["/never-started".to_owned()]),
            labels: Some(shared.scope.mark(HashMap::from([(COPY.to_owned(), volume.to_owned())]))),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(vec![mount]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let create = |docker: Docker| async move { docker.create_container(None::<CreateContainerOptions>, body).await };
        let made = Box::pin(shared.link.call(&object, WORK_LIMIT, create)).await?;
        Ok(Copy { shared: Arc::clone(shared), id: made.id, open: true })
    }

    /// Removes the container now.
    async fn close(mut self) -> Result<()> {
        self.open = false;
        remove(&self.shared, &self.id).await
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let Some(runtime) = tokio::runtime::Handle::try_current().ok().filter(|_| self.open) else { return };
        let (shared, id) = (Arc::clone(&self.shared), std::mem::take(&mut self.id));
        runtime.spawn(async move {
            if let Err(error) = remove(&shared, &id).await {
                log::warn!("{error}; it was made for a copy of a volume and is removed at the agent's next start");
            }
        });
    }
}

async fn remove(shared: &Shared, id: &str) -> Result<()> {
    let options = RemoveContainerOptions { v: true, force: true, ..RemoveContainerOptions::default() };
    shared.remove_with(id, options).await
}

/// Reads a volume's content.
pub(super) async fn read(shared: &Arc<Shared>, volume: &str, image: &str) -> Result<Content> {
    let copy = Copy::open(shared, volume, image, true).await?;
    let docker = shared.link.connected().await?.client;
    let options = DownloadFromContainerOptions { path: format!("{ROOT}/.") };
    let mut content = Box::pin(docker.download_from_container(&copy.id, Some(options)));
    // The first piece tells whether there is an answer at all.
    let first = shared.link.call(&format!("volume {volume}"), WORK_LIMIT, |_| async { content.next().await.transpose() }).await?;
    let rest = stream::unfold(Some((content, copy)), |reading| async move {
        let (mut content, copy) = reading?;
        match timeout(SILENCE, content.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some((content, copy)))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(format!("the engine broke off: {error}"))), None)),
            Err(_) => Some((Err(io::Error::other(format!("the engine was silent for {} s", SILENCE.as_secs()))), None)),
            Ok(None) => {
                // Before the end is told, so that whoever hears of it may remove the volume.
                if let Err(error) = copy.close().await {
                    log::warn!("{error}; it is removed at the agent's next start");
                }
                None
            }
        }
    });
    Ok(Box::pin(stream::iter(first.map(Ok)).chain(rest)))
}

/// Adds content to a volume.
pub(super) async fn write(shared: &Arc<Shared>, volume: &str, image: &str, mut content: Content) -> Result<()> {
    let copy = Copy::open(shared, volume, image, false).await?;
    let object = format!("volume {volume}");
    let broken = |cause: io::Error| EngineError::Failed { object: object.clone(), message: cause.to_string() };
    let begin = beginning(&mut content).await.map_err(broken)?;
    // The engine passes the entry of the folder over that it unpacks into, and with it the volume's owner and mode.
    if let Some(root) = root_entry(&begin) {
        put(shared, &object, &copy.id, ABOVE, Box::pin(stream::iter([Ok(root.into())]))).await?;
    }
    let begin = (!begin.is_empty()).then(|| Ok(begin));
    put(shared, &object, &copy.id, ROOT, Box::pin(stream::iter(begin).chain(content))).await?;
    copy.close().await
}

async fn put(shared: &Shared, object: &str, id: &str, path: &str, archive: Content) -> Result<()> {
    let body = body_try_stream(archive);
    let options = UploadToContainerOptions { path: path.to_owned(), ..UploadToContainerOptions::default() };
    shared.link.call(object, COPY_LIMIT, |docker| async move { docker.upload_to_container(id, Some(options), body).await }).await
}

/// At least the first block, where there is as much.
async fn beginning(content: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin)) -> io::Result<Bytes> {
    let mut begin = Vec::new();
    while begin.len() < BLOCK {
        match content.next().await {
            Some(piece) => begin.extend_from_slice(&piece?),
            None => break,
        }
    }
    Ok(begin.into())
}

/// An archive of nothing but the volume's root, as it is named from the folder above.
fn root_entry(begin: &[u8]) -> Option<Vec<u8>> {
    let header = begin.get(..BLOCK)?;
    if !(header.starts_with(b"./\0") && header[156] == b'5') {
        return None;
    }
    let mut archive = header.to_vec();
    archive[..ROOT_ENTRY.len()].copy_from_slice(ROOT_ENTRY);
    archive[148..156].fill(b' ');
    let sum: u32 = archive.iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.resize(3 * BLOCK, 0);
    Some(archive)
}

impl Shared {
    /// Removes the containers that interrupted copies left. One that another copy still uses must not be among them: this is
    /// for an agent that has just started.
    pub(super) async fn sweep_copies(&self) -> Result<()> {
        let filters = HashMap::from([("label".to_owned(), vec![COPY.to_owned()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let list = |docker: Docker| async move { docker.list_containers(Some(options)).await };
        for left in self.link.call("list of copies", LOOK_LIMIT, list).await? {
            let labels = left.labels.unwrap_or_default();
            if let Some(id) = left.id.filter(|_| labels.contains_key(COPY) && self.scope.admits(&labels)) {
                remove(self, &id).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_named_from_above_with_a_right_checksum() {
        let mut header = vec![0_u8; BLOCK];
        header[..2].copy_from_slice(b"./");
        header[100..108].copy_from_slice(b"0040711\0");
        header[156] = b'5';
        let archive = root_entry(&header).unwrap();
        assert!(archive.starts_with(b"volume/\0") && archive.len() == 3 * BLOCK);
        let sum: u32 =
            archive[..BLOCK].iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { 32 } else { u32::from(*b) }).sum();
        assert_eq!(std::str::from_utf8(&archive[148..154]).unwrap(), format!("{sum:06o}"));
        header[156] = b'0';
        assert_eq!(root_entry(&header), None);
        assert_eq!(root_entry(b"./"), None);
    }

    #[tokio::test]
    async fn the_beginning_is_gathered_from_pieces() {
        let mut pieces = stream::iter([Ok(Bytes::from(vec![1; 300])), Ok(Bytes::from(vec![2; 300])), Ok(Bytes::from(vec![3]))]);
        assert_eq!(beginning(&mut pieces).await.unwrap().len(), 600);
        assert_eq!(beginning(&mut pieces).await.unwrap().len(), 1);
        assert!(beginning(&mut stream::iter([Err(io::Error::other("x"))])).await.is_err());
    }
}
