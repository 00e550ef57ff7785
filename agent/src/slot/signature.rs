//! Who made a binary: an ed25519 signature over the whole file, when a public key is configured.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::SlotError;
use crate::settings::decode_base64;

/// Where a key lies unless it is said otherwise; no key there means that no signature is asked for.
const DEFAULT_KEY: &str = "/etc/holdfast/update.pub";

/// What a key in the form of `openssl pkey -pubout` begins with (RFC 8410).
const DER_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What is said of a binary without a signature.
const UNSIGNED: &str = "it has no signature, and this device installs only what is signed; it was not installed. Give its signature \
                        with --signature, or in the variable HOLDFAST_AGENT_SIGNATURE";
/// The same of one with a signature that does not fit.
const FOREIGN: &str = "its signature is not one of this very file by the key this device trusts; it was not installed. Sign the file \
                       again, with the private key that belongs to the device's public key (update.pub)";

/// The key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads it: PEM, or 32 bytes in base64. `None` when there is none at the place where it need not be.
    ///
    /// # Errors
    /// When it is there and is no such key, or is not where it was said to be: nothing is installed then.
    pub fn read(path: Option<&PathBuf>) -> Result<Option<PublicKey>, SlotError> {
        let given = path.map_or(Path::new(DEFAULT_KEY), PathBuf::as_path);
        let mut text = String::new();
        match std::fs::File::open(given).and_then(|file| file.take(4096).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_none() => return Ok(None),
            Err(error) => return Err(SlotError::io(given, "the public key cannot be read, so nothing can be installed")(error)),
        }
        let expected = "it is no ed25519 public key (PEM, or 32 bytes in base64), so nothing can be installed";
        PublicKey::parse(&text).map(Some).ok_or_else(|| SlotError::file(given, expected))
    }

    /// Refuses what has no signature at all, before anything is done about it.
    pub(super) fn expect(key: Option<&PublicKey>, name: &str, signature: Option<&[u8]>) -> Result<(), SlotError> {
        if key.is_some() && signature.is_none() { Err(SlotError::of(name, UNSIGNED)) } else { Ok(()) }
    }

    fn parse(text: &str) -> Option<PublicKey> {
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = decode_base64(&body)?;
        let raw = bytes.strip_prefix(&DER_HEAD).unwrap_or(&bytes);
        raw.try_into().ok().map(PublicKey)
    }

    /// Checks the signature of a file, which a person knows as `name`.
    pub(super) fn check(&self, name: &str, file: &Path, signature: Option<&[u8]>) -> Result<(), SlotError> {
        let Some(signature) = signature else {
            return Err(SlotError::of(name, UNSIGNED));
        };
        let content = std::fs::read(file).map_err(SlotError::io(file, "it cannot be read"))?;
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, self.0);
        key.verify(&content, signature).map_err(|_| SlotError::of(name, FOREIGN))
    }
}

/// A signature from base64; `None` when it is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    decode_base64(text).filter(|bytes| bytes.len() == 64)
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    #[test]
    fn what_openssl_writes_is_read() {
        // openssl genpkey -algorithm ed25519 | openssl pkey -pubout
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let bare = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n";
        assert!(PublicKey::parse(pem).is_some());
        assert_eq!(PublicKey::parse(pem), PublicKey::parse(bare));
        for wrong in ["", "AAAA", "Gb9E CWmE", "-----BEGIN PUBLIC KEY-----\n"] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_that_was_named_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("update.pub");
        assert!(PublicKey::read(Some(&path)).is_err());
        std::fs::write(&path, "no key").unwrap();
        assert!(PublicKey::read(Some(&path)).unwrap_err().to_string().contains("nothing can be installed"));
    }

    #[test]
    fn only_the_files_own_signature_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfast");
        std::fs::write(&file, "content").unwrap();
        let key = PublicKey(pair().public_key().as_ref().try_into().unwrap());
        let signature = pair().sign(b"content");
        assert_eq!(key.check("x", &file, Some(signature.as_ref())), Ok(()));
        assert!(key.check("x", &file, None).unwrap_err().message.contains("only what is signed"));
        assert!(key.check("x", &file, Some(pair().sign(b"other").as_ref())).is_err());
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert!(key.check("x", &file, Some(other.sign(b"content").as_ref())).is_err());
        std::fs::write(&file, "contenu").unwrap();
        assert!(key.check("x", &file, Some(signature.as_ref())).is_err());
    }
}
