//! A tar archive of a few small files: what an image layer is.

use crate::volume::{BLOCK_BYTES, file_header};

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path without a leading slash, at most 100 bytes.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

/// Packs files into an uncompressed ustar archive; folders come from the paths. Times are zero, so that the same files
/// give the same bytes.
pub fn pack(files: &[File]) -> Vec<u8> {
    let mut out = Vec::new();
    for file in files {
        out.extend_from_slice(&file_header(&file.path, file.mode, file.content.len() as u64));
        out.extend_from_slice(&file.content);
        out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    out.resize(out.len() + 2 * BLOCK_BYTES, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_tar_reads_it() {
        let files = [
            File { path: "bin/program".into(), mode: 0o755, content: vec![1; 700] },
            File { path: "etc/release".into(), mode: 0o644, content: b"1\n".to_vec() },
        ];
        let archive = pack(&files);
        assert_eq!(archive.len() % BLOCK_BYTES, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer.tar");
        std::fs::write(&path, &archive).unwrap();
        let out = std::process::Command::new("tar").arg("-tvf").arg(&path).output();
        // A machine without tar has nothing to compare with.
        if let Ok(out) = out {
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            assert!(text.contains("-rwxr-xr-x") && text.contains("bin/program") && text.contains("700"), "{text}");
        }
    }
}
