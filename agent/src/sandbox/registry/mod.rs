//! An embedded image registry: the pull side of the distribution protocol, version 2, on 127.0.0.1.

mod image;
mod routes;
mod tar;

pub use image::{Built, MANIFEST_TYPE, Recipe, build, digest};
pub use tar::{File, pack};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::listener::{Handler, Listener};

/// The running registry; dropping it ends it.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    listener: Listener,
    shared: Arc<Mutex<Content>>,
}

/// What is served.
#[derive(Debug, Default)]
struct Content {
    /// Manifests by repository and digest.
    manifests: BTreeMap<(String, String), Vec<u8>>,
    /// Digests by repository and tag.
    tags: BTreeMap<(String, String), String>,
    /// Blobs by digest; a digest is its own proof, so repositories share them.
    blobs: BTreeMap<String, Vec<u8>>,
    blob_delay: Duration,
    requests: u64,
    pulled: u64,
}

fn content(shared: &Mutex<Content>) -> MutexGuard<'_, Content> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedRegistry {
    /// Starts an empty registry on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> std::io::Result<EmbeddedRegistry> {
        let shared = Arc::new(Mutex::new(Content::default()));
        let served = shared.clone();
        let handler: Handler = Arc::new(move |request| Box::pin(routes::answer(served.clone(), request)));
        Ok(EmbeddedRegistry { listener: Listener::start("embedded-registry", 0, handler)?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Adds an image to a repository under a tag and returns the reference by digest, `127.0.0.1:<port>/<repository>@sha256:…`.
    pub fn add(&self, repository: &str, tag: &str, image: &Built) -> String {
        let mut content = content(&self.shared);
        content.manifests.insert((repository.into(), image.digest.clone()), image.manifest.clone());
        content.tags.insert((repository.into(), tag.into()), image.digest.clone());
        content.blobs.extend(image.blobs.clone());
        format!("{}/{repository}@{}", self.address(), image.digest)
    }

    /// Every blob is held back this long: gives a pull some duration.
    pub fn set_blob_delay(&self, delay: Duration) {
        content(&self.shared).blob_delay = delay;
    }

    /// How many requests came in.
    pub fn requests(&self) -> u64 {
        content(&self.shared).requests
    }

    /// How many blobs were handed out whole or in part.
    pub fn blobs_sent(&self) -> u64 {
        content(&self.shared).pulled
    }
}

#[cfg(test)]
mod tests;
