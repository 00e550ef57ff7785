//! Room on a file system.

use std::path::Path;

use rustix::fs::{OFlags, StatVfs};

use super::file::open_in;
use super::{DiskSpace, HostError};

impl DiskSpace {
    /// Room as `df` reckons it: what a file system keeps back is neither used nor free, so it is not part of the size. A disk
    /// of which much is kept back would else look nearly full when it is empty.
    pub fn of(stat: &StatVfs) -> DiskSpace {
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        DiskSpace { total_bytes: bytes(used.saturating_add(stat.f_bavail)), free_bytes: bytes(stat.f_bavail) }
    }
}

/// Room on the file system that holds a path of the host.
pub(super) fn space(root: &Path, path: &Path) -> Result<DiskSpace, HostError> {
    let stat = open_in(root, path, OFlags::PATH).and_then(rustix::fs::fstatvfs);
    match stat {
        Ok(stat) => Ok(DiskSpace::of(&stat)),
        Err(errno) => Err(HostError::File {
            path: path.display().to_string(),
            message: format!("could not ask for free space: {}", std::io::Error::from(errno)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{DiskSpace, space};
    use std::path::Path;

    #[test]
    fn what_is_kept_back_is_not_part_of_the_size() {
        let mut stat = rustix::fs::statvfs("/").unwrap();
        // Of 1000 blocks 250 are used, and 650 of the others kept back.
        (stat.f_frsize, stat.f_blocks, stat.f_bfree, stat.f_bavail) = (4096, 1000, 750, 100);
        assert_eq!(DiskSpace::of(&stat), DiskSpace { total_bytes: 350 * 4096, free_bytes: 100 * 4096 });
        // What no file system says, and one over the network might.
        (stat.f_bfree, stat.f_bavail) = (u64::MAX, u64::MAX);
        assert_eq!(DiskSpace::of(&stat), DiskSpace { total_bytes: u64::MAX, free_bytes: u64::MAX });
    }

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
