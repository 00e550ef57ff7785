//! Images: what the engine has, what they bring along, and their removal.

use std::collections::BTreeSet;
use std::sync::Arc;

use bollard::models::{ImageInspect, ImageSummary};
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};
use holdfast_plan::container::ImageConfig;
use holdfast_plan::current::Image;
use holdfast_plan::target::ImageRef;

use super::container_in::environment_in;
use super::errors::gone_is_fine;
use super::names::checked;
use super::options_in::healthcheck_in;
use super::ports::exposed_in;
use super::{LOOK_LIMIT, Shared, WORK_LIMIT};
use crate::engine::{EngineError, Result};

impl Shared {
    /// All images with their references.
    pub(super) async fn list_images(&self) -> Result<Vec<Image>> {
        // Digests come along without being asked for; asked for them, Podman 4 answers with nothing at all.
        let list = |docker: bollard::Docker| async move { docker.list_images(None::<ListImagesOptions>).await };
        let listed = self.link.call("list of images", LOOK_LIMIT, list).await?;
        let mut images: Vec<Image> = listed.into_iter().map(summary_in).collect();
        images.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(images)
    }

    /// One image by reference or id.
    pub(super) async fn inspect_image(&self, reference: &str) -> Result<ImageInspect> {
        let object = format!("image {reference}");
        let name = checked(&object, reference)?;
        self.link.call(&object, LOOK_LIMIT, |docker| async move { docker.inspect_image(name).await }).await
    }

    /// What an image brings along; `None` when the engine does not have it any more.
    pub(super) async fn image_config(&self, id: &str) -> Result<Option<Arc<ImageConfig>>> {
        if let Some(config) = self.cache.image(id) {
            return Ok(Some(config));
        }
        match self.inspect_image(id).await {
            Ok(image) => {
                let config = Arc::new(config_in(&image));
                self.cache.keep_image(id, config.clone());
                Ok(Some(config))
            }
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the references of an image within its repository, tags first: should the last one be refused because a
    /// container uses the image, then the digest is still there to find it by. Other repositories' references stay.
    pub(super) async fn remove_image(&self, image: &ImageRef) -> Result<()> {
        let found = match self.inspect_image(&image.to_string()).await {
            Ok(found) => found,
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        for reference in references_to_remove(image, &image_in(found)) {
            gone_is_fine(self.remove_reference(&reference).await)?;
        }
        Ok(())
    }

    /// Removes an image by its id, never by force.
    pub(super) async fn remove_image_by_id(&self, id: &str) -> Result<()> {
        gone_is_fine(self.remove_reference(id).await)
    }

    /// Diff ids of the layers of all images. One that goes meanwhile has none.
    pub(super) async fn layers(&self) -> Result<BTreeSet<String>> {
        let mut layers = BTreeSet::new();
        for image in self.list_images().await? {
            match self.inspect_image(&image.id).await {
                Ok(found) => layers.extend(found.root_fs.and_then(|root| root.layers).unwrap_or_default()),
                Err(EngineError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(layers)
    }

    async fn remove_reference(&self, reference: &str) -> Result<()> {
        let object = format!("image {reference}");
        let name = checked(&object, reference)?;
        let remove = |docker: bollard::Docker| async move {
            docker.remove_image(name, None::<RemoveImageOptions>, None).await.map(|_deleted| ())
        };
        self.link.call(&object, WORK_LIMIT, remove).await
    }
}

fn summary_in(image: ImageSummary) -> Image {
    Image {
        id: image.id,
        tags: real(image.repo_tags),
        digests: real(image.repo_digests),
        size_bytes: u64::try_from(image.size).unwrap_or(0),
    }
}

/// An inspected image in our words.
pub(super) fn image_in(image: ImageInspect) -> Image {
    Image {
        id: image.id.unwrap_or_default(),
        tags: real(image.repo_tags.unwrap_or_default()),
        digests: real(image.repo_digests.unwrap_or_default()),
        size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    }
}

/// References without the placeholders that older engines give to dangling images.
fn real(references: Vec<String>) -> Vec<String> {
    let mut references: Vec<String> = references.into_iter().filter(|text| !text.contains("<none>")).collect();
    references.sort();
    references
}

fn config_in(image: &ImageInspect) -> ImageConfig {
    let config = image.config.clone().unwrap_or_default();
    ImageConfig {
        command: config.cmd.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        environment: environment_in(config.env.as_ref()),
        labels: config.labels.into_iter().flatten().collect(),
        user: config.user.unwrap_or_default(),
        working_dir: config.working_dir.unwrap_or_default(),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        healthcheck: config.healthcheck.as_ref().and_then(healthcheck_in),
        volumes: config.volumes.into_iter().flatten().collect(),
        exposed: exposed_in(config.exposed_ports.as_ref()),
    }
}

/// The references that go when `image` goes, in order: tags, then digests. A reference by tag takes only that tag, and the
/// digests when it was the last one.
fn references_to_remove(image: &ImageRef, found: &Image) -> Vec<String> {
    let repository = familiar(&image.repository()).to_owned();
    let ours = |text: &&String| text.parse::<ImageRef>().is_ok_and(|r| familiar(&r.repository()) == repository);
    let tags: Vec<String> = found.tags.iter().filter(ours).cloned().collect();
    let digests = found.digests.iter().filter(ours).cloned();
    if image.digest.is_some() {
        return tags.into_iter().chain(digests).collect();
    }
    let tag = image.tag.as_deref().unwrap_or("latest");
    let named = |text: &String| text.parse::<ImageRef>().is_ok_and(|r| r.tag.as_deref() == Some(tag));
    let (asked, others): (Vec<String>, Vec<String>) = tags.into_iter().partition(named);
    if others.is_empty() { asked.into_iter().chain(digests).collect() } else { asked }
}

/// A repository's short name: the default registry goes without saying.
fn familiar(repository: &str) -> &str {
    let rest = repository.strip_prefix("docker.io/").unwrap_or(repository);
    rest.strip_prefix("library/").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff";

    fn found(tags: &[&str], digests: &[&str]) -> Image {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Image { id: "sha256:1".into(), tags: own(tags), digests: own(digests), size_bytes: 1 }
    }

    fn removed(reference: &str, image: &Image) -> Vec<String> {
        references_to_remove(&reference.parse().unwrap(), image)
    }

    #[test]
    fn tags_go_before_digests_and_other_repositories_stay() {
        let (mine, other) = (format!("r.io/v2/a@{DIGEST}"), format!("r.io/v2/b@{DIGEST}"));
        let image = found(&["r.io/v2/a:latest", "r.io/v2/b:latest"], &[&mine, &other]);
        assert_eq!(removed(&mine, &image), ["r.io/v2/a:latest".to_owned(), mine]);
    }

    #[test]
    fn a_tag_takes_the_digest_only_when_it_is_the_last() {
        let digest = format!("r.io/a@{DIGEST}");
        assert_eq!(removed("r.io/a:1", &found(&["r.io/a:1", "r.io/a:2"], &[&digest])), ["r.io/a:1"]);
        assert_eq!(removed("r.io/a:1", &found(&["r.io/a:1"], &[&digest])), ["r.io/a:1".to_owned(), digest]);
    }

    #[test]
    fn short_and_long_names_are_one() {
        assert_eq!(removed("alpine", &found(&["docker.io/library/alpine:latest"], &[])), ["docker.io/library/alpine:latest"]);
        assert_eq!(removed("library/alpine:3", &found(&["alpine:3"], &[])), ["alpine:3"]);
    }

    #[test]
    fn placeholders_are_no_references() {
        assert_eq!(real(vec!["<none>:<none>".into(), "a:1".into(), "<none>@<none>".into()]), ["a:1"]);
    }
}
