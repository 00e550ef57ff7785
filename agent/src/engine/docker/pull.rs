//! Pulling an image, with progress (protocol §11).

use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptions, TagImageOptions};
use futures_util::StreamExt;
use holdfast_plan::current::Image;
use holdfast_plan::target::ImageRef;
use tokio::time::timeout;

use super::errors::{engine_error, with_hint, words};
use super::images::image_in;
use super::names::checked;
use super::progress::Layers;
use super::{Shared, WORK_LIMIT};
use crate::engine::{EngineError, Progress, RegistryAuth, Result};

/// How long a pull may go on without a word from the engine. A pull as a whole has no limit: lines are slow.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);

impl Shared {
    /// Pulls an image, tags it, and tells what the engine then has. Dropping the future closes the connection, at which the
    /// engine stops downloading.
    pub(super) async fn pull(&self, image: &ImageRef, auth: Option<&RegistryAuth>, progress: Progress) -> Result<Image> {
        let object = format!("image {image}");
        let reference = image.to_string();
        checked(&object, &reference)?;
        self.download(&object, &reference, credentials(image, auth), &progress).await?;
        self.tag(&object, &reference, image).await?;
        let found = self.inspect_image(&reference).await?;
        progress(100);
        Ok(image_in(found))
    }

    async fn download(
        &self,
        object: &str,
        reference: &str,
        credentials: Option<DockerCredentials>,
        progress: &Progress,
    ) -> Result<()> {
        let connected = self.link.connected().await?;
        let options = CreateImageOptions { from_image: Some(reference.to_owned()), ..CreateImageOptions::default() };
        let mut entries = connected.client.create_image(Some(options), None, credentials);
        let mut layers = Layers::default();
        loop {
            let error = match timeout(IDLE_LIMIT, entries.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(entry))) => {
                    if let Some(percent) = layers.note(&entry) {
                        progress(percent);
                    }
                    continue;
                }
                Ok(Some(Err(error))) => engine_error(&connected.address, object, IDLE_LIMIT.as_secs(), error),
                Err(_) => return Err(EngineError::TimedOut { object: object.to_owned(), seconds: IDLE_LIMIT.as_secs() }),
            };
            if error.is_unreachable() {
                self.link.forget().await;
            }
            return Err(explained(error));
        }
    }

    /// Gives an image that was pulled by digest a name that shows in lists; without a tag of its own it becomes `latest`.
    async fn tag(&self, object: &str, reference: &str, image: &ImageRef) -> Result<()> {
        if image.digest.is_none() {
            return Ok(());
        }
        let options = TagImageOptions { repo: Some(image.repository()), tag: image.tag.clone() };
        let tag = |docker: bollard::Docker| async move { docker.tag_image(reference, Some(options)).await };
        self.link.call(object, WORK_LIMIT, tag).await
    }
}

/// Credentials for the engine, and only for the registry they belong to: a device key must never reach another one.
fn credentials(image: &ImageRef, auth: Option<&RegistryAuth>) -> Option<DockerCredentials> {
    let auth = auth?;
    if image.host.as_deref() != Some(auth.server_address.as_str()) {
        log::warn!("image {image}: credentials for {} are not sent to another registry", auth.server_address);
        return None;
    }
    Some(DockerCredentials {
        username: Some(auth.username.clone()),
        password: Some(auth.password.clone()),
        serveraddress: Some(auth.server_address.clone()),
        ..DockerCredentials::default()
    })
}

/// Gives a failed pull its kind and, where the engine's words are known, a hint for people.
fn explained(error: EngineError) -> EngineError {
    let said = words(&error).to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if says(&["no space left on device"]) {
        with_hint(error, "the disk that holds the engine's data is full")
    } else if says(&["no matching manifest", "does not match the specified platform", "cannot be used on this platform"]) {
        with_hint(error, "the image was not built for this device's processor architecture")
    } else if says(&["manifest unknown", "name unknown", "not found: manifest", "manifest for"]) {
        missing(with_hint(error, "the registry does not have this image"))
    } else if says(&["unauthorized", "authentication required", "access to the resource is denied", "no basic auth"]) {
        with_hint(error, "the registry did not accept the device's credentials, or the image is not the device's to read")
    } else if says(&["no such host", "connection refused", "i/o timeout", "network is unreachable", "tls handshake timeout"]) {
        with_hint(error, "the registry cannot be reached from this device")
    } else {
        error
    }
}

/// An error of the stream carries no status; what it says is "not found" all the same.
fn missing(error: EngineError) -> EngineError {
    match error {
        EngineError::Failed { object, message } => EngineError::NotFound { object, message },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: &str) -> EngineError {
        EngineError::Failed { object: "image a".into(), message: message.into() }
    }

    #[test]
    fn known_failures_are_explained() {
        for (said, hint) in [
            ("failed to register layer: write /x: no space left on device", "disk"),
            ("no matching manifest for linux/arm/v7 in the manifest list entries", "architecture"),
            ("unauthorized: authentication required", "credentials"),
            ("pull access denied for a, repository does not exist: denied: access to the resource is denied", "credentials"),
            ("Get \"https://r/v2/\": dial tcp 10.0.0.1:443: connect: connection refused", "reached"),
        ] {
            let text = explained(failed(said)).to_string();
            assert!(text.contains(said) && text.contains(hint), "{text}");
        }
        assert_eq!(explained(failed("strange")), failed("strange"));
    }

    #[test]
    fn a_missing_image_is_not_found() {
        assert!(matches!(explained(failed("manifest for a not found: manifest unknown: x")), EngineError::NotFound { .. }));
    }

    #[test]
    fn credentials_stay_with_their_registry() {
        let auth = RegistryAuth { username: "d_1".into(), password: "key".into(), server_address: "r.example.com".into() };
        let sent = |reference: &str| credentials(&reference.parse().unwrap(), Some(&auth));
        assert_eq!(sent("r.example.com/v2/a").unwrap().password.as_deref(), Some("key"));
        for other in ["evil.example.com/v2/a", "r.example.com:444/v2/a", "a"] {
            assert_eq!(sent(other), None, "{other}");
        }
        assert_eq!(credentials(&"r.example.com/a".parse().unwrap(), None), None);
    }
}
