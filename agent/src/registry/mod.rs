//! Registries, asked without the engine: how large an image is, layer by layer, before a byte of it is downloaded.
//!
//! The pull side of the distribution protocol: a manifest (of the device's platform, where several are listed) and the
//! image's configuration, with the token dance a registry may ask for. An answer is an estimate to plan with and nothing is
//! run from it, so digests are left to the engine to verify.

mod address;
mod challenge;
mod clients;
mod error;
mod http;
mod manifest;
mod platform;
mod session;
#[cfg(test)]
mod tests;

pub use error::RegistryError;
pub use http::{HttpRegistry, RegistrySettings};
pub use platform::Platform;

use std::collections::BTreeSet;

use holdfast_plan::target::ImageRef;

use crate::http::RegistryAuth;

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of its unpacked content: what engines know it by.
    pub diff_id: String,
    /// What has to be downloaded for it, bytes.
    pub compressed_bytes: u64,
}

/// An image's layers, the lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSize {
    /// The layers.
    pub layers: Vec<Layer>,
}

impl ImageSize {
    /// What has to be downloaded where these layers (diff ids) are there already, bytes.
    ///
    /// An engine keeps a layer together with all below it, so only a run of present layers from the lowest one on is spared.
    pub fn missing_bytes(&self, present: &BTreeSet<String>) -> u64 {
        let missing = self.layers.iter().skip_while(|layer| present.contains(&layer.diff_id));
        missing.fold(0, |sum, layer| sum.saturating_add(layer.compressed_bytes))
    }
}

/// Registries.
#[async_trait::async_trait]
pub trait Registry: Send + Sync {
    /// Asks an image's registry how large it is. Credentials go to the registry they are for, and to the token server that
    /// registry names, and nowhere else.
    ///
    /// # Errors
    /// When the registry does not answer in time or with what was asked for.
    async fn image_size(&self, image: &ImageRef, auth: Option<&RegistryAuth>) -> Result<ImageSize, RegistryError>;
}
