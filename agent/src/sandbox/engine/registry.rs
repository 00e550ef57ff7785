//! The registries that the catalogue stands for, asked directly.

use holdfast_plan::target::ImageRef;

use super::SimEngine;
use crate::http::RegistryAuth;
use crate::registry::{ImageSize, Registry, RegistryError};

#[async_trait::async_trait]
impl Registry for SimEngine {
    /// What the catalogue says; faults on order for `image_size` hit it too.
    async fn image_size(&self, image: &ImageRef, auth: Option<&RegistryAuth>) -> Result<ImageSize, RegistryError> {
        let call = format!("GET manifest of {image}");
        let object = format!("image {image}");
        let unreachable = |cause: String| RegistryError::Unreachable { call: call.clone(), cause };
        let reply = self.enter("image_size", &object).await.map_err(|error| unreachable(error.to_string()))?;
        let entry = self.with(|world| world.catalogue.find(image).cloned());
        reply.hand_over(&object, Ok(())).await.map_err(|error| unreachable(error.to_string()))?;
        let refused = |status| RegistryError::Status { call: call.clone(), status, message: String::new() };
        match entry {
            None => Err(refused(404)),
            Some(entry) if entry.private && auth.is_none() => Err(refused(401)),
            Some(entry) => Ok(ImageSize { layers: entry.layers }),
        }
    }
}
