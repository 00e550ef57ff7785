//! Reading small files of the host: bounded, never blocking on a pipe or device, and with links resolved inside the host's
//! root, so that `/etc/hostname -> /mnt/state/hostname` is the host's even when its root is mounted elsewhere.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// The most that is read of a file; what follows is cut off.
const MAX_BYTES: u64 = 64 * 1024;

/// Opens a path of the host.
pub(super) fn open_in(root: &Path, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let folder = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = flags | OFlags::CLOEXEC;
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    match rustix::fs::openat2(&folder, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        // Kernels before 5.6, and sandboxes that do not know the call: links are then resolved as they stand.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&folder, relative, flags, Mode::empty()),
        opened => opened,
    }
}

/// The text of a small file of the host; `None` when it is missing, no plain file, or not readable.
pub(crate) fn read_in(root: &Path, path: &str) -> Option<String> {
    let fd = open_in(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(fd).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The bytes of a plain file of the host; a longer one is an error.
pub(super) fn bytes_in(root: &Path, path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let fd = open_in(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(std::io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(fd).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// The first line of a small file, trimmed; `None` also when it is empty.
pub(crate) fn first_line(root: &Path, path: &str) -> Option<String> {
    let text = read_in(root, path)?;
    let line = text.lines().next().unwrap_or_default().trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, first_line, open_in, read_in};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn links_stay_inside_the_hosts_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("mnt/state")).unwrap();
        fs::write(root.path().join("mnt/state/hostname"), "\tquiet-river \nmore\n").unwrap();
        symlink("/mnt/state/hostname", root.path().join("etc/hostname")).unwrap();
        symlink("../../../../mnt/state/hostname", root.path().join("etc/up")).unwrap();
        assert_eq!(first_line(root.path(), "/etc/hostname").as_deref(), Some("quiet-river"));
        assert_eq!(first_line(root.path(), "etc/up").as_deref(), Some("quiet-river"));
        assert!(open_in(root.path(), Path::new("/"), rustix::fs::OFlags::PATH).is_ok());
    }

    #[test]
    fn what_is_no_small_plain_file_neither_blocks_nor_grows() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("large"), vec![b'x'; 300_000]).unwrap();
        assert_eq!(read_in(root.path(), "large").unwrap().len() as u64, MAX_BYTES);
        rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("pipe"), 0o600.into()).unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(root.path().join("empty"), "\n").unwrap();
        for name in ["pipe", "folder", "missing"] {
            assert_eq!(read_in(root.path(), name), None, "{name}");
        }
        assert_eq!(first_line(root.path(), "empty"), None);
    }
}
