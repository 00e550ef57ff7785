//! Manifests, lists of manifests and image configurations, as far as sizes need them.

use serde::Deserialize;

use super::{ImageSize, Layer, Platform};

/// What is asked for: images and lists of them, of both families.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// What a manifest turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// An image: digest of its configuration, sizes of its layers.
    Image {
        /// Digest of the configuration.
        config: String,
        /// Compressed sizes, bytes, the lowest first.
        sizes: Vec<u64>,
    },
    /// A list; the digest of the manifest for this platform.
    List {
        /// Digest of the manifest.
        chosen: String,
    },
}

#[derive(Deserialize)]
struct Wire {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
    platform: Option<WirePlatform>,
}

#[derive(Deserialize)]
struct WirePlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// Reads a manifest; the error says what is wrong with it.
pub(super) fn read(text: &str, platform: &Platform) -> Result<Manifest, String> {
    let wire: Wire = serde_json::from_str(text).map_err(|error| format!("not a manifest: {error}"))?;
    if let Some(config) = wire.config {
        let sizes = wire.layers.iter().map(|layer| layer.size).collect();
        return Ok(Manifest::Image { config: checked(config.digest)?, sizes });
    }
    let entries = wire.manifests.ok_or("neither an image's manifest nor a list of manifests")?;
    let distance = |entry: &Descriptor| {
        let of = entry.platform.as_ref()?;
        platform.distance(&of.os, &of.architecture, of.variant.as_deref())
    };
    // The first of equals, as the engine takes it.
    let nearest = entries.into_iter().filter_map(|entry| Some((distance(&entry)?, entry))).min_by_key(|(distance, _)| *distance);
    let (_, chosen) = nearest.ok_or_else(|| {
        let version = platform.version.map(|version| format!(" v{version}")).unwrap_or_default();
        format!("the list has no image for linux {}{version}", platform.architecture)
    })?;
    Ok(Manifest::List { chosen: checked(chosen.digest)? })
}

/// Puts the configuration's layers beside the manifest's sizes.
pub(super) fn layers(configuration: &str, sizes: &[u64]) -> Result<ImageSize, String> {
    let configuration: Configuration =
        serde_json::from_str(configuration).map_err(|error| format!("not an image configuration: {error}"))?;
    let ids = configuration.rootfs.diff_ids;
    if ids.len() != sizes.len() {
        return Err(format!("the configuration names {} layers and the manifest {}", ids.len(), sizes.len()));
    }
    let layers = ids.into_iter().zip(sizes).map(|(diff_id, size)| Layer { diff_id, compressed_bytes: *size }).collect();
    Ok(ImageSize { layers })
}

/// A digest becomes part of an address: it must be one.
fn checked(digest: String) -> Result<String, String> {
    let valid = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'.' | b'_' | b'-');
        !algorithm.is_empty() && algorithm.bytes().all(plain) && hex.len() >= 32 && hex.bytes().all(|c| c.is_ascii_hexdigit())
    });
    if valid { Ok(digest) } else { Err("it names something by what is not a digest".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v7() -> Platform {
        Platform { architecture: "arm".into(), version: Some(7) }
    }

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn an_image_and_its_layers() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":7}},"layers":[{{"digest":"{}","size":30}},{{"digest":"{}","size":40}}]}}"#,
            digest('c'),
            digest('1'),
            digest('2')
        );
        let manifest = read(&text, &v7()).unwrap();
        assert_eq!(manifest, Manifest::Image { config: digest('c'), sizes: vec![30, 40] });
        let size = layers(r#"{"os":"linux","rootfs":{"type":"layers","diff_ids":["a","b"]}}"#, &[30, 40]).unwrap();
        let present = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(size.missing_bytes(&present(&[])), 70);
        assert_eq!(size.missing_bytes(&present(&["a"])), 40);
        assert_eq!(size.missing_bytes(&present(&["b"])), 70, "a layer is kept together with all below it");
        assert_eq!(size.missing_bytes(&present(&["a", "b"])), 0);
        assert!(layers(r#"{"rootfs":{"diff_ids":["a"]}}"#, &[30, 40]).unwrap_err().contains("1 layers and the manifest 2"));
    }

    #[test]
    fn of_a_list_the_one_for_this_machine() {
        let entry = |digit, os: &str, architecture: &str, variant: &str| serde_json::json!({ "digest": digest(digit), "size": 1, "platform": { "os": os, "architecture": architecture, "variant": variant } });
        let list = serde_json::json!({ "manifests": [
            entry('1', "linux", "amd64", ""), entry('2', "linux", "arm", "v6"), entry('3', "linux", "arm", "v7"),
            entry('4', "unknown", "unknown", ""), serde_json::json!({ "digest": digest('5') })
        ] });
        assert_eq!(read(&list.to_string(), &v7()).unwrap(), Manifest::List { chosen: digest('3') });
        let other = Platform { architecture: "riscv64".into(), version: None };
        assert!(read(&list.to_string(), &other).unwrap_err().contains("no image for linux riscv64"));
    }

    #[test]
    fn what_is_no_manifest_is_named() {
        for text in
            ["", "[]", "{}", r#"{"config":{"digest":"../../x"}}"#, r#"{"config":{"digest":"sha256:12"}}"#, r#"{"manifests":[]}"#]
        {
            assert!(read(text, &v7()).is_err(), "{text}");
        }
        assert!(layers("{}", &[]).is_err());
    }
}
