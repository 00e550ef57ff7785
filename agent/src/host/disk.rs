//! Room on a file system.

use std::path::Path;

use rustix::fs::OFlags;

use super::file::open_in;
use super::{DiskSpace, HostError};

/// Room on the file system that holds a path of the host.
pub(super) fn space(root: &Path, path: &Path) -> Result<DiskSpace, HostError> {
    let stat = open_in(root, path, OFlags::PATH).and_then(rustix::fs::fstatvfs);
    match stat {
        Ok(stat) => Ok(DiskSpace {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        }),
        Err(errno) => Err(HostError::File {
            path: path.display().to_string(),
            message: format!("could not ask for free space: {}", std::io::Error::from(errno)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::space;
    use std::path::Path;

    #[test]
    fn a_folder_has_a_size_and_a_missing_one_an_error_that_names_it() {
        let here = space(Path::new("/"), &std::env::temp_dir()).unwrap();
        assert!(here.total_bytes > 0 && here.free_bytes <= here.total_bytes, "{here:?}");
        let error = space(Path::new("/"), Path::new("/nonexistent/docker")).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/docker: could not ask for free space"), "{error}");
    }

    #[test]
    fn the_path_is_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/docker")).unwrap();
        assert!(space(root.path(), Path::new("/var/lib/docker")).is_ok());
        assert!(space(root.path(), Path::new("/")).is_ok());
    }
}
