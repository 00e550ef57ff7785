//! Volumes as archives: a tar stream as the engine gives it, and the file it is kept in.
//!
//! An archive is a gzip-compressed tar: the engine's entries, whose names begin with `./`, and as its last entry a manifest
//! (`holdfast-volume.json`) with the SHA-256 over all entries before it. Everything is read and written in pieces, so a
//! volume may be of any size.

mod error;
mod file;
mod header;
mod manifest;
mod walk;

pub use error::ArchiveError;
pub use file::{ArchiveReader, ArchiveWriter, verify};
pub use header::file_header;
pub use manifest::{FORMAT, MANIFEST_NAME, Manifest};
pub use walk::{Counts, Summary, Walk};

/// A tar block.
pub const BLOCK_BYTES: usize = 512;

/// What ends a tar stream.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
