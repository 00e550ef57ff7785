//! The last entry of an archive: what it is a copy of, and how to tell that it is whole.

use serde::{Deserialize, Serialize};

use super::{ArchiveError, BLOCK_BYTES, Counts, END_OF_ARCHIVE, Summary, file_header};

/// Its name. Entries of the content begin with `./`, so that none is ever taken for it.
pub const MANIFEST_NAME: &str = "holdfast-volume.json";

/// The version of the form that is described here.
pub const FORMAT: u32 = 1;

/// What an archive is a copy of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The volume's name in the engine.
    pub volume: String,
    /// Numeric id of its app, 0 where that is not known.
    pub app_id: u64,
    /// Name of its app.
    pub app: String,
    /// Whether its services ran while it was copied.
    pub live: bool,
    /// When it was made, RFC 3339, by the clock of the machine.
    pub made: String,
    /// The agent's version.
    pub agent_version: String,
    /// SHA-256 of the content's tar stream up to this entry, in hex.
    pub sha256: String,
    /// What the content adds up to.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Manifest {
    /// It as the end of an archive: its entry and the end mark.
    pub fn entry(&self) -> Vec<u8> {
        // A structure of texts and numbers can always be written.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        let mut entry = file_header(MANIFEST_NAME, 0o644, text.len() as u64).to_vec();
        entry.append(&mut text);
        entry.resize(entry.len().next_multiple_of(BLOCK_BYTES), 0);
        entry.extend_from_slice(&END_OF_ARCHIVE);
        entry
    }

    /// Reads the manifest of an archive that went by and compares it with what was in it.
    ///
    /// # Errors
    /// When there is none, when it is of a later form, and when the content is another.
    pub fn of(summary: &Summary) -> Result<Manifest, ArchiveError> {
        let text = summary.manifest.as_deref().ok_or(ArchiveError::NoManifest)?;
        let manifest: Manifest = serde_json::from_slice(text)
            .map_err(|cause| ArchiveError::malformed(format!("its manifest cannot be read: {cause}")))?;
        if manifest.format != FORMAT {
            let form = manifest.format;
            return Err(ArchiveError::malformed(format!("it is of form {form}, this agent knows form {FORMAT}")));
        }
        if manifest.sha256 != summary.sha256 {
            return Err(ArchiveError::Differs { what: "SHA-256" });
        }
        if manifest.counts != summary.counts {
            return Err(ArchiveError::Differs { what: "counts" });
        }
        Ok(manifest)
    }
}
