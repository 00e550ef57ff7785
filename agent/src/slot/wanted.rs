//! The version that device variables ask for. Never the cloud's supervisor release: that is another program.

use std::collections::BTreeMap;

use super::exchange::{Job, Source};
use super::signature::decode;
use crate::policy::variable;

/// What the variables ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A binary.
    Binary {
        /// Where it is.
        url: String,
        /// Its SHA-256, in lower-case hex.
        sha256: String,
        /// Its signature.
        signature: Option<Vec<u8>>,
    },
    /// An image, for an agent that is a container.
    Image(String),
}

impl Wanted {
    /// Reads the variables; `None` when they ask for nothing. An agent that the launcher started is in a slot, any other may
    /// be a container.
    ///
    /// # Errors
    /// Which variable makes no sense, and what was expected.
    pub fn of(config: &BTreeMap<String, String>, launched: bool) -> Result<Option<Wanted>, String> {
        let value = |name| variable(config, name).map(str::trim).filter(|text| !text.is_empty());
        if let Some(image) = value("HOLDFAST_AGENT_IMAGE").filter(|_| !launched) {
            return Ok(Some(Wanted::Image(image.to_owned())));
        }
        let Some(url) = value("HOLDFAST_AGENT_URL") else { return Ok(None) };
        let Some(sha256) = value("HOLDFAST_AGENT_SHA256").and_then(sha256_of) else {
            return Err("HOLDFAST_AGENT_URL is set, but HOLDFAST_AGENT_SHA256 is not 64 hexadecimal digits: nothing is \
                        downloaded until it is"
                .to_owned());
        };
        let signature = match value("HOLDFAST_AGENT_SIGNATURE") {
            None => None,
            Some(text) => Some(decode(text).ok_or("HOLDFAST_AGENT_SIGNATURE is not an ed25519 signature in base64")?),
        };
        Ok(Some(Wanted::Binary { url: url.to_owned(), sha256, signature }))
    }

    /// What stands for it: a version that failed is tried again when this changes.
    pub fn wish(&self) -> String {
        let text = match self {
            Wanted::Binary { url, sha256, signature } => {
                let signature = signature.as_deref().map(crate::settings::sha256).unwrap_or_default();
                format!("{url} {sha256} {signature}")
            }
            Wanted::Image(image) => image.clone(),
        };
        crate::settings::sha256(text.as_bytes())
    }

    /// What tells it from others: the SHA-256 of the binary in hex, the image's name.
    pub fn identity(&self) -> &str {
        match self {
            Wanted::Binary { sha256, .. } => sha256,
            Wanted::Image(image) => image,
        }
    }

    /// What is to be done.
    pub fn job(&self) -> Job {
        let (source, sha256, signature) = match self.clone() {
            Wanted::Binary { url, sha256, signature } => (Source::Url(url), Some(sha256), signature),
            Wanted::Image(image) => (Source::Image(image), None, None),
        };
        Job { source, sha256, signature, wish: Some(self.wish()), offline: false }
    }
}

/// A SHA-256 as a person writes it, in lower-case hex; `None` when it is none.
pub fn sha256_of(text: &str) -> Option<String> {
    let text = text.trim();
    let is = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        let config = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wanted::of(&config, true)
    }

    #[test]
    fn variables_with_and_without_prefix() {
        let sum = "AB".repeat(32);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("HOLDFAST_AGENT_URL", " "), ("HOLDFAST_AGENT_SHA256", "x")]), Ok(None));
        for prefix in ["", "BALENA_", "RESIN_"] {
            let names = ["URL", "SHA256"].map(|name| format!("{prefix}HOLDFAST_AGENT_{name}"));
            let wanted = of(&[(&names[0], "https://x/h"), (&names[1], &sum)]).unwrap().unwrap();
            assert_eq!(wanted.identity(), "ab".repeat(32));
            assert_eq!(wanted.job().source, Source::Url("https://x/h".into()));
        }
    }

    #[test]
    fn a_container_is_replaced_by_an_image_and_nothing_else_is() {
        let config = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x/agent:2".to_owned())).collect();
        let image: BTreeMap<String, String> = config(&["RESIN_HOLDFAST_AGENT_IMAGE"]);
        assert_eq!(Wanted::of(&image, false), Ok(Some(Wanted::Image("x/agent:2".into()))));
        assert_eq!(Wanted::of(&image, true), Ok(None));
    }

    #[test]
    fn half_a_wish_is_none_and_is_said() {
        assert!(of(&[("HOLDFAST_AGENT_URL", "https://x/h")]).unwrap_err().contains("HOLDFAST_AGENT_SHA256"));
        assert!(of(&[("HOLDFAST_AGENT_URL", "https://x/h"), ("HOLDFAST_AGENT_SHA256", &"g".repeat(64))]).is_err());
        let sum = "0".repeat(64);
        let all = |signature: &str| {
            of(&[("HOLDFAST_AGENT_URL", "u"), ("HOLDFAST_AGENT_SHA256", &sum), ("HOLDFAST_AGENT_SIGNATURE", signature)])
        };
        assert!(all("short").is_err());
        assert!(all(&"A".repeat(88)).is_err(), "66 bytes");
        let signed = all(&"A".repeat(86)).unwrap().unwrap();
        let unsigned = of(&[("HOLDFAST_AGENT_URL", "u"), ("HOLDFAST_AGENT_SHA256", &sum)]).unwrap().unwrap();
        assert_ne!(signed.wish(), unsigned.wish());
    }
}
