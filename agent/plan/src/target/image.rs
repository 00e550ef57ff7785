//! References to images in registries (protocol §11).

use serde::{Deserialize, Serialize};

/// A parsed image reference: `[host/]name[:tag][@digest]`.
///
/// Two references are the same image when their texts are equal or both carry the same digest (behaviour §8.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageRef {
    /// Registry host with its port; `None` is the engine's default registry.
    pub host: Option<String>,
    /// Repository name.
    pub name: String,
    /// Tag, as given.
    pub tag: Option<String>,
    /// Digest, `<algorithm>:<at least 32 hex digits>`.
    pub digest: Option<String>,
}

impl ImageRef {
    /// `host/name`, without tag and digest.
    pub fn repository(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether both references mean the same image (behaviour §8.1).
    pub fn same_image(&self, other: &ImageRef) -> bool {
        self == other || (self.digest.is_some() && self.digest == other.digest)
    }
}

impl std::fmt::Display for ImageRef {
    /// The normal form: with a digest the tag is dropped; without both, `latest` is meant.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(host) = &self.host {
            f.write_str(host)?;
            f.write_str("/")?;
        }
        f.write_str(&self.name)?;
        let (sign, rest) = match (&self.digest, &self.tag) {
            (Some(digest), _) => ("@", digest.as_str()),
            (None, tag) => (":", tag.as_deref().unwrap_or("latest")),
        };
        f.write_str(sign)?;
        f.write_str(rest)
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> String {
        image.to_string()
    }
}

impl TryFrom<String> for ImageRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for ImageRef {
    type Err = String;

    /// Parses a reference; the error says what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("\"{text}\" is not an image reference: {what}");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let (algorithm, hex) = digest.split_once(':').ok_or_else(|| wrong("its digest has no algorithm"))?;
            let is_hex = hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            if algorithm.is_empty() || !is_hex {
                return Err(wrong("its digest is not <algorithm>:<at least 32 hex digits>"));
            }
        }
        let (host, rest) = match rest.split_once('/') {
            Some((first, more)) if first == "localhost" || first.contains(['.', ':']) => (Some(first), more),
            _ => (None, rest),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic());
        if !plain(name) {
            return Err(wrong("it has no repository name"));
        }
        if tag.is_some_and(|tag| !plain(tag)) {
            return Err(wrong("its tag is empty"));
        }
        Ok(ImageRef {
            host: host.map(str::to_owned),
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_normal_form() {
        let digest = "sha256:0123456789abcdef0123456789abcdef";
        for (text, host, name, normal) in [
            ("alpine", None, "alpine", "alpine:latest".to_owned()),
            ("library/alpine:3", None, "library/alpine", "library/alpine:3".to_owned()),
            ("localhost:5000/v2/ab:1", Some("localhost:5000"), "v2/ab", "localhost:5000/v2/ab:1".to_owned()),
            (&format!("r.example.com/v2/ab:1@{digest}"), Some("r.example.com"), "v2/ab", format!("r.example.com/v2/ab@{digest}")),
        ] {
            let image: ImageRef = text.parse().unwrap();
            assert_eq!((image.host.as_deref(), image.name.as_str()), (host, name), "{text}");
            assert_eq!(image.to_string(), normal);
        }
    }

    #[test]
    fn wrong_references_say_what_is_wrong() {
        for text in ["", "a@sha256", "a@sha256:12", "localhost:5000/", "a:"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
