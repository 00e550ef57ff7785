//! The last good copy of config.json, kept with a checksum on the data partition.
//!
//! The file is one line of JSON (the head), then the content. While a rewrite of config.json is under way the head also
//! names the content that is being replaced; that makes the copy the journal of the rewrite.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::whole_file;

/// Form of the file. Another form is another agent's and is not read.
const FORM: u32 = 1;

/// More than any head has, bytes.
const LARGEST_HEAD_BYTES: u64 = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    /// Which config.json this is a copy of: another one's is of no use.
    of: PathBuf,
    /// SHA-256 of the content, in hex.
    sha256: String,
    /// Set while a rewrite is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaced>,
}

/// What a rewrite that is under way replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Replaced {
    /// There was no file.
    Missing,
    /// A file with this SHA-256, in hex.
    Content(String),
}

/// A copy whose checksum was right.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct GoodCopy {
    /// The content of config.json.
    pub content: Vec<u8>,
    /// Set when the rewrite that brought this content was not seen to end.
    pub replaces: Option<Replaced>,
}

impl GoodCopy {
    /// Reads the copy of `of` in `path`. One that is missing, damaged or of another file is none; damage is logged.
    pub fn read(path: &Path, of: &Path) -> Option<GoodCopy> {
        match Self::try_read(path, of) {
            Ok(copy) => copy,
            Err(problem) => {
                log::warn!("{}: {problem}; it is written anew from a good config.json", path.display());
                None
            }
        }
    }

    fn try_read(path: &Path, of: &Path) -> Result<Option<GoodCopy>, String> {
        let bytes = match whole_file::read(path, whole_file::LARGEST_BYTES + LARGEST_HEAD_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let end = bytes.iter().position(|b| *b == b'\n').ok_or("it has no head")?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|error| format!("its head is damaged ({error})"))?;
        let content = bytes[end + 1..].to_vec();
        if head.form != FORM || head.of != of {
            return Ok(None);
        }
        if head.sha256 != sha256(&content) {
            return Err("its checksum is wrong".to_owned());
        }
        Ok(Some(GoodCopy { content, replaces: head.replaces }))
    }

    /// Writes the copy of `of` to `path`, durable when it returns.
    pub fn write(&self, path: &Path, of: &Path) -> io::Result<()> {
        let head = Head { form: FORM, of: of.to_owned(), sha256: sha256(&self.content), replaces: self.replaces.clone() };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.content);
        whole_file::replace(path, &bytes, 0o600)
    }

    /// Whether `bytes` is what a cut in the middle of writing this content leaves: a beginning of it, or nothing, padded
    /// with zeros by the file system.
    pub fn torn_from(&self, bytes: &[u8]) -> bool {
        let end = bytes.iter().rposition(|b| *b != 0 && !b.is_ascii_whitespace()).map_or(0, |last| last + 1);
        self.content.starts_with(&bytes[..end])
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn copy(content: &str) -> GoodCopy {
        GoodCopy { content: content.into(), replaces: None }
    }

    #[test]
    fn comes_back_as_it_went() {
        let folder = tempfile::tempdir().unwrap();
        let (path, of) = (folder.path().join("config.json.good"), Path::new("/mnt/boot/config.json"));
        for replaces in [None, Some(Replaced::Missing), Some(Replaced::Content("ab".into()))] {
            let copy = GoodCopy { replaces, ..copy("{\n\"a\": 1}\n") };
            copy.write(&path, of).unwrap();
            assert!(GoodCopy::read(&path, of) == Some(copy));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(GoodCopy::read(&path, Path::new("/other/config.json")).is_none());
    }

    #[test]
    fn every_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, of) = (folder.path().join("config.json.good"), Path::new("/c"));
        copy(r#"{"uuid":"ab"}"#).write(&path, of).unwrap();
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(GoodCopy::read(&path, of).is_none(), "cut at {cut}");
        }
        let content_at = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        for at in content_at..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(GoodCopy::read(&path, of).is_none(), "flipped at {at}");
        }
    }

    #[test]
    fn tears_are_told_from_edits() {
        let copy = copy("{\"a\": 1}\n");
        for torn in ["", "\0\0\0", "{", "{\"a\"\0\0\0\0", "{\"a\": 1}\n", "\n"] {
            assert!(copy.torn_from(torn.as_bytes()), "{torn:?}");
        }
        for edited in ["{\"b", "{\"a\": 1,}", "x", "\0x"] {
            assert!(!copy.torn_from(edited.as_bytes()), "{edited:?}");
        }
    }
}
