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
}

impl Wanted {
    /// Reads the variables; `None` when they ask for nothing.
    ///
    /// # Errors
    /// Which variable makes no sense, and what was expected.
    pub fn of(config: &BTreeMap<String, String>) -> Result<Option<Wanted>, String> {
        let value = |name| variable(config, name).map(str::trim).filter(|text| !text.is_empty());
        let Some(url) = value("HOLDFAST_AGENT_URL") else { return Ok(None) };
        let sha256 = value("HOLDFAST_AGENT_SHA256").unwrap_or_default().to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("HOLDFAST_AGENT_URL is set, but HOLDFAST_AGENT_SHA256 is not 64 hexadecimal digits: nothing is \
                        downloaded until it is"
                .to_owned());
        }
        let signature = match value("HOLDFAST_AGENT_SIGNATURE") {
            None => None,
            Some(text) => Some(decode(text).ok_or("HOLDFAST_AGENT_SIGNATURE is not an ed25519 signature in base64")?),
        };
        Ok(Some(Wanted::Binary { url: url.to_owned(), sha256, signature }))
    }

    /// What stands for it: a version that failed is tried again when this changes.
    pub fn wish(&self) -> String {
        let Wanted::Binary { url, sha256, signature } = self;
        let signature = signature.as_deref().map(crate::settings::sha256).unwrap_or_default();
        crate::settings::sha256(format!("{url} {sha256} {signature}").as_bytes())
    }

    /// The SHA-256 of the binary, in hex.
    pub fn sha256(&self) -> &str {
        let Wanted::Binary { sha256, .. } = self;
        sha256
    }

    /// What is to be done.
    pub fn job(&self) -> Job {
        let Wanted::Binary { url, sha256, signature } = self.clone();
        let wish = Some(self.wish());
        Job { source: Source::Url(url), sha256: Some(sha256), signature, wish, offline: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        let config = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wanted::of(&config)
    }

    #[test]
    fn variables_with_and_without_prefix() {
        let sum = "AB".repeat(32);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("HOLDFAST_AGENT_URL", " "), ("HOLDFAST_AGENT_SHA256", "x")]), Ok(None));
        for prefix in ["", "BALENA_", "RESIN_"] {
            let names = ["URL", "SHA256"].map(|name| format!("{prefix}HOLDFAST_AGENT_{name}"));
            let wanted = of(&[(&names[0], "https://x/h"), (&names[1], &sum)]).unwrap().unwrap();
            assert_eq!(wanted.sha256(), "ab".repeat(32));
            assert_eq!(wanted.job().source, Source::Url("https://x/h".into()));
        }
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
