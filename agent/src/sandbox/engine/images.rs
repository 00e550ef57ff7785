//! Images: pulled from the catalogue, tagged, found, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_plan::current::Image;
use holdfast_plan::target::ImageRef;

use super::catalogue::Entry;
use super::observer::Mutation;
use super::world::{HeldImage, World};
use crate::engine::{EngineError, Result};
use crate::registry::Layer;
use crate::sandbox::registry::digest;

fn object(image: &ImageRef) -> String {
    format!("image {image}")
}

/// The digest a reference leads to: its own, or one made up from its text.
fn digest_of(image: &ImageRef) -> String {
    image.digest.clone().unwrap_or_else(|| digest(image.to_string().as_bytes()))
}

/// The engine's id of what a digest names: the same content in two repositories is one image.
fn id_of(digest_of_manifest: &str) -> String {
    digest(format!("config of {digest_of_manifest}").as_bytes())
}

fn diff_ids(layers: &[Layer]) -> Vec<String> {
    layers.iter().map(|layer| layer.diff_id.clone()).collect()
}

impl World {
    /// The engine's id of the image that a reference or an id means.
    pub fn resolve_image(&self, text: &str) -> Option<String> {
        if self.images.contains_key(text) {
            return Some(text.to_owned());
        }
        let wanted: ImageRef = text.parse().ok()?;
        let normal = wanted.to_string();
        let same = |image: &Image| image.tags.contains(&normal) || image.digests.contains(&normal);
        self.images.iter().find(|(_, held)| same(&held.shown)).map(|(id, _)| id.clone())
    }

    /// Whether a pull can go on, asked while it runs; `part` is how far it is, 0 to 1.
    pub fn check_pull(&self, image: &ImageRef, authenticated: bool, part: f64) -> Result<Entry> {
        let failed = |message: String| EngineError::Failed { object: object(image), message };
        let Some(entry) = self.catalogue.find(image) else {
            let message = format!("manifest for {image} not found: manifest unknown: manifest unknown");
            return Err(EngineError::NotFound { object: object(image), message });
        };
        if entry.private && !authenticated {
            return Err(failed(format!(
                "pull access denied for {}, repository does not exist or may require login",
                image.repository()
            )));
        }
        if let Some(message) = &entry.failure
            && part > 0.3
        {
            return Err(failed(message.clone()));
        }
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes of a simulation"
        )]
        let written = (entry.size_bytes as f64 * part) as u64;
        if self.disk_free_bytes.is_some_and(|free| written > free) {
            return Err(failed("failed to register layer: write /program: no space left on device".into()));
        }
        Ok(entry.clone())
    }

    /// Ends a pull: the image is there under its references.
    pub fn finish_pull(&mut self, image: &ImageRef, entry: Entry) -> Image {
        let digest = digest_of(image);
        let id = id_of(&digest);
        if !self.images.contains_key(&id) {
            self.disk_free_bytes = self.disk_free_bytes.map(|free| free.saturating_sub(entry.size_bytes));
            let shown = Image { id: id.clone(), size_bytes: entry.size_bytes, ..Image::default() };
            self.images.insert(
                id.clone(),
                HeldImage { shown, config: Arc::new(entry.config), layers: diff_ids(&entry.layers), program: entry.program },
            );
        }
        let reference = image.to_string();
        let by_digest = format!("{}@{digest}", image.repository());
        let tag =
            format!("{}:{}", image.repository(), image.tag.as_deref().filter(|_| image.digest.is_none()).unwrap_or("latest"));
        for (other, held) in &mut self.images {
            if *other != id {
                // A tag names one image; digests stay.
                held.shown.tags.retain(|held_tag| *held_tag != tag);
            }
        }
        let Some(held) = self.images.get_mut(&id) else { return Image::default() };
        for (list, text) in [(&mut held.shown.tags, tag), (&mut held.shown.digests, by_digest)] {
            if !list.contains(&text) {
                list.push(text);
            }
        }
        let shown = held.shown.clone();
        self.note(Mutation::ImagePulled { reference, id });
        shown
    }

    /// Removes an image's references in one repository, and the image with the last of them.
    pub fn remove_image(&mut self, image: &ImageRef) -> Result<()> {
        let Some(id) = self.resolve_image(&image.to_string()) else { return Ok(()) };
        let repository = image.repository();
        let of_it = |text: &String| {
            text.strip_prefix(&repository).is_some_and(|rest| rest.starts_with([':', '@']) && !rest[1..].contains('/'))
        };
        let user = self.user_of(&id);
        let Some(held) = self.images.get_mut(&id) else { return Ok(()) };
        let others = held.shown.tags.iter().chain(&held.shown.digests).filter(|text| !of_it(text)).count();
        if others == 0
            && let Some(user) = user
        {
            let message = format!(
                "conflict: unable to remove repository reference \"{image}\" (must force) - container {user} is using its referenced image"
            );
            return Err(EngineError::Conflict { object: object(image), message });
        }
        held.shown.tags.retain(|text| !of_it(text));
        held.shown.digests.retain(|text| !of_it(text));
        if others == 0 {
            self.drop_image(&id);
        }
        self.note(Mutation::ImageRemoved { reference: image.to_string(), id, gone: others == 0 });
        Ok(())
    }

    /// Removes an image by its id, unless it is used or has several names.
    pub fn remove_image_by_id(&mut self, id: &str) -> Result<()> {
        let Some(held) = self.images.get(id) else { return Ok(()) };
        let conflict = |why: String| EngineError::Conflict {
            object: format!("image {id}"),
            message: format!("conflict: unable to delete {id} ({why}"),
        };
        if let Some(user) = self.user_of(id) {
            return Err(conflict(format!("cannot be forced) - image is being used by container {user}")));
        }
        if held.shown.tags.len() + held.shown.digests.len() > 1 {
            return Err(conflict("must be forced) - image is referenced in multiple repositories".into()));
        }
        self.drop_image(id);
        self.note(Mutation::ImageRemoved { reference: id.to_owned(), id: id.to_owned(), gone: true });
        Ok(())
    }

    /// The layers of all images.
    pub fn layers(&self) -> BTreeSet<String> {
        self.images.values().flat_map(|held| held.layers.iter().cloned()).collect()
    }

    /// Puts an image there as somebody else made it.
    pub fn add_image(&mut self, shown: Image) {
        let Entry { config, program, .. } = Entry::default();
        self.images.insert(shown.id.clone(), HeldImage { shown, config: Arc::new(config), layers: Vec::new(), program });
    }

    /// The short id of a container that is made of an image.
    fn user_of(&self, image: &str) -> Option<String> {
        self.containers.values().find(|held| held.image_id == image).map(|held| held.id.chars().take(12).collect())
    }

    fn drop_image(&mut self, id: &str) {
        let size = self.images.remove(id).map_or(0, |held| held.shown.size_bytes);
        self.disk_free_bytes = self.disk_free_bytes.map(|free| free.saturating_add(size));
    }
}
