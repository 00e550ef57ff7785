//! What can be wrong with an archive.

use std::io;
use std::path::Path;

/// Why an archive cannot be written, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The tar stream is none, or only a part of one.
    #[error("{0}")]
    Malformed(String),
    /// The content is not what the manifest says.
    #[error("the content is not what its manifest says ({what}): the archive is damaged")]
    Differs {
        /// In what.
        what: &'static str,
    },
    /// There is no manifest.
    #[error("it has no {}: it was not made by holdfast volume backup, or is cut off", super::MANIFEST_NAME)]
    NoManifest,
    /// The file system refused.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: String,
        /// What happened.
        cause: io::Error,
    },
}

impl ArchiveError {
    pub(super) fn malformed(what: impl Into<String>) -> ArchiveError {
        ArchiveError::Malformed(what.into())
    }

    pub(super) fn file(path: &Path, cause: io::Error) -> ArchiveError {
        ArchiveError::File { path: path.display().to_string(), cause }
    }
}
