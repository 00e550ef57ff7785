//! An image as a registry keeps it: layer, configuration and manifest, each under its digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tar;
use crate::sandbox::program::{self, Machine};

/// Media type of the manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What an image is made from.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// For which machine.
    pub machine: Machine,
    /// Files besides the program.
    pub files: Vec<tar::File>,
    /// Default environment.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Default command.
    pub command: Vec<String>,
}

impl Recipe {
    /// An image that holds the embedded program as its entry point, and a file that tells its version.
    pub fn program(machine: Machine, service: &str, version: &str) -> Recipe {
        let release =
            tar::File { path: "etc/release".into(), mode: 0o644, content: format!("{service} {version}\n").into_bytes() };
        Recipe {
            machine,
            files: vec![release],
            environment: BTreeMap::from([("SAMPLE_VERSION".into(), version.into())]),
            labels: BTreeMap::new(),
            command: Vec::new(),
        }
    }
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Built {
    /// Digest of the manifest, `sha256:…`: what a reference names.
    pub digest: String,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Configuration and layer by digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

/// `sha256:` and the hex of the hash.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", crate::settings::sha256(bytes))
}

/// Builds the image. The same recipe gives the same digests.
pub fn build(recipe: &Recipe) -> Built {
    let program = tar::File { path: "program".into(), mode: 0o755, content: program::elf(recipe.machine) };
    let layer = tar::pack(&std::iter::once(program).chain(recipe.files.iter().cloned()).collect::<Vec<_>>());
    let layer_digest = digest(&layer);
    let config = configuration(recipe, &layer_digest).to_string().into_bytes();
    let config_digest = digest(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": config_digest
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "size": layer.len(), "digest": layer_digest
        }],
    })
    .to_string()
    .into_bytes();
    Built { digest: digest(&manifest), manifest, blobs: BTreeMap::from([(config_digest, config), (layer_digest, layer)]) }
}

/// The image configuration. An uncompressed layer's digest is its diff id too.
fn configuration(recipe: &Recipe, layer: &str) -> Value {
    let (architecture, variant) = recipe.machine.architecture();
    let environment: Vec<String> = recipe.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Entrypoint": ["/program"], "Cmd": recipe.command, "Env": environment, "Labels": recipe.labels },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created_by": "holdfast sandbox" }],
    });
    if let Some(variant) = variant {
        config["variant"] = variant.into();
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_is_that_of_its_bytes() {
        let built = build(&Recipe::program(Machine::X86_64, "web", "1"));
        assert_eq!(built.digest, digest(&built.manifest));
        let manifest: Value = serde_json::from_slice(&built.manifest).unwrap();
        for part in [&manifest["config"], &manifest["layers"][0]] {
            let blob = &built.blobs[part["digest"].as_str().unwrap()];
            assert_eq!(part["size"], blob.len());
            assert_eq!(part["digest"], digest(blob).as_str());
        }
        let config = &built.blobs[manifest["config"]["digest"].as_str().unwrap()];
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn the_version_makes_another_image() {
        let one = build(&Recipe::program(Machine::Armv7, "web", "1"));
        let two = build(&Recipe::program(Machine::Armv7, "web", "2"));
        assert_ne!(one.digest, two.digest);
        assert_eq!(one.digest, build(&Recipe::program(Machine::Armv7, "web", "1")).digest);
    }
}
