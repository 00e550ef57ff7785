//! Folders held open, so that a name looked up twice is looked up in the same place, and no link leads elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{LockError, app_of, is_service_name};
use holdfast_plan::target::AppId;

/// How many entries of one folder are looked at.
pub(super) const MAX_ENTRIES: usize = 4096;

/// Mode of folders on the way to a service's.
const PARENT_MODE: u32 = 0o755;
/// Mode of a service's folder: containers of any user make files in it, and nobody removes another's.
const SERVICE_MODE: u32 = 0o1777;

const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens the lock root. `None` when it is not there.
    pub(super) fn root(path: &Path) -> Result<Option<Self>, LockError> {
        match rustix::fs::open(path, OPEN_FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: path.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(LockError::system(path, "open the lock root", errno)),
        }
    }

    /// Opens the lock root, made with its parents where it is missing.
    pub(super) fn make_root(path: &Path) -> Result<Self, LockError> {
        if let Some(root) = Self::root(path)? {
            return Ok(root);
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(PARENT_MODE).create(path);
        made.map_err(|error| LockError::File {
            path: path.display().to_string(),
            message: format!("could not make the lock root: {error}"),
        })?;
        Self::root(path)?.ok_or_else(|| LockError::system(path, "open the lock root", Errno::NOENT))
    }

    /// Opens a folder in this one, never through a link.
    pub(super) fn child(&self, name: &str) -> Result<Self, Errno> {
        let fd = rustix::fs::openat(self, name, OPEN_FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { fd, path: self.path.join(name) })
    }

    /// A service's folder; `None` when it (or something else of that name) is not a folder.
    pub(super) fn service(&self, app: AppId, service: &str) -> Result<Option<Self>, LockError> {
        let opened = self.child(&app.to_string()).and_then(|app| app.child(service));
        match opened {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(LockError::system(&self.path.join(app.to_string()).join(service), "open the folder", errno)),
        }
    }

    /// A service's folder, made where it is missing, open to containers of any user.
    pub(super) fn make_service(&self, app: AppId, service: &str) -> Result<Self, LockError> {
        self.make_child(&app.to_string(), PARENT_MODE)?.make_child(service, SERVICE_MODE)
    }

    /// A folder with exactly this mode. The engine makes missing mount sources with a mode of its own, so an existing folder
    /// is put right too.
    fn make_child(&self, name: &str, mode: u32) -> Result<Self, LockError> {
        let failed = |tried: &str, errno| LockError::system(&self.path.join(name), tried, errno);
        match rustix::fs::mkdirat(self, name, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the folder", errno)),
        }
        let child = self.child(name).map_err(|errno| failed("open the folder", errno))?;
        let stat = rustix::fs::fstat(&child).map_err(|errno| failed("read the folder's mode", errno))?;
        if stat.st_mode & 0o7777 != mode {
            rustix::fs::fchmod(&child, Mode::from_raw_mode(mode)).map_err(|errno| failed("set the folder's mode", errno))?;
        }
        Ok(child)
    }

    /// The app folders in the lock root, in order; also whether some were left out.
    pub(super) fn apps(&self) -> Result<(Vec<AppId>, bool), Errno> {
        let (names, surplus) = self.names()?;
        let mut apps: Vec<AppId> = names.iter().filter_map(|name| app_of(name)).collect();
        apps.sort_unstable();
        Ok((apps, surplus))
    }

    /// The service folders in an app's folder, in order; also whether some were left out.
    pub(super) fn services(&self) -> Result<(Vec<String>, bool), Errno> {
        let (mut names, surplus) = self.names()?;
        names.retain(|name| is_service_name(name));
        names.sort_unstable();
        Ok((names, surplus))
    }

    /// Names of what may be a folder in this one; also whether the folder holds more than is looked at. Only for folders that
    /// containers cannot write to.
    fn names(&self) -> Result<(Vec<String>, bool), Errno> {
        let mut names = Vec::new();
        for (seen, entry) in Dir::read_from(self)?.enumerate() {
            if seen >= MAX_ENTRIES {
                return Ok((names, true));
            }
            let entry = entry?;
            let may_be_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if let (true, Ok(name)) = (may_be_folder, entry.file_name().to_str()) {
                names.push(name.to_owned());
            }
        }
        Ok((names, false))
    }

    /// The path of a file in this folder, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
