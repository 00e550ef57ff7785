//! Where the API listens on this machine, and who may open it.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::ApiError;

/// Mode of the socket: its owner and its group may connect, and who can connect may act.
const SOCKET_MODE: u32 = 0o660;
/// Mode of the socket's folder when it has to be made.
const FOLDER_MODE: u32 = 0o755;
/// Members of this group may use the socket without being root.
const GROUP: &str = "holdfast";

/// A listening unix socket. Dropping it removes the file, unless another agent has put its own there since.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_some_and(|found| found == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the API's socket at `path`, mode 0660, group `holdfast` where that group exists, making its folder if needed.
///
/// # Errors
/// When somebody answers there already, when something other than a socket is in the way, or the file system refuses. A
/// socket left by an agent that is gone is replaced.
pub async fn bind(path: &Path) -> Result<Socket, ApiError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
        made.map_err(|cause| failed(folder, "making the folder", cause))?;
    }
    refuse_if_in_use(path).await?;
    // Made under another name and moved into place once its mode is right, so that there is no moment in which it is
    // open to everybody or to nobody.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            return Err(failed(&fresh, "removing what is left of an earlier start", cause));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(|cause| failed(path, "opening the socket", cause))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(SOCKET_MODE))
        .map_err(|cause| failed(path, "setting the mode", cause))?;
    give_to_group(&fresh);
    std::fs::rename(&fresh, path).map_err(|cause| failed(path, "moving the socket into place", cause))?;
    let inode = identity(path).ok_or_else(|| failed(path, "looking at the socket", ErrorKind::NotFound.into()))?;
    Ok(Socket { listener, path: path.to_owned(), inode })
}

/// An error unless the path is free or holds a socket that nobody answers on.
async fn refuse_if_in_use(path: &Path) -> Result<(), ApiError> {
    match std::fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(failed(path, "looking at what is there", cause)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ApiError::NotASocket { path: path.display().to_string() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        // A socket that is there and has room for nobody is in use as well.
        Ok(_) => Err(ApiError::Occupied { path: path.display().to_string() }),
        Err(cause) if cause.kind() == ErrorKind::WouldBlock => Err(ApiError::Occupied { path: path.display().to_string() }),
        Err(cause) if matches!(cause.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(cause) => Err(failed(path, "asking who listens there", cause)),
    }
}

/// Gives the socket to the group, where there is one. Without it only the owner can connect, which is safe: a warning.
fn give_to_group(path: &Path) {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let Some(id) = group_id(&groups, GROUP) else { return };
    if let Err(cause) = chown(path, None, Some(id)) {
        log::warn!("{}: could not be given to the group {GROUP}, so only its owner can use it: {cause}", path.display());
    }
}

/// The numeric id of a group in the text of `/etc/group`.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn failed(path: &Path, doing: &'static str, cause: std::io::Error) -> ApiError {
    ApiError::File { path: path.display().to_string(), doing, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        let text = "root:x:0:\nholdfast2:x:8:\nbroken\nholdfast:x:997:alice,bob\n";
        assert_eq!(group_id(text, GROUP), Some(997));
        assert_eq!(group_id("holdfast:x:many:", GROUP), None);
        assert_eq!(group_id("", GROUP), None);
    }

    #[tokio::test]
    async fn a_folder_is_made_and_the_mode_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/holdfast.sock");
        let socket = bind(&path).await.unwrap();
        assert_eq!(socket.path(), path);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(socket);
        assert!(!path.exists(), "a clean stop takes the socket away");
    }

    #[tokio::test]
    async fn a_socket_in_use_is_left_and_a_stale_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = bind(&path).await.unwrap();
        assert!(matches!(bind(&path).await, Err(ApiError::Occupied { .. })));
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "what a killed agent leaves");
        let second = bind(&path).await.unwrap();
        assert!(UnixStream::connect(second.path()).await.is_ok());
    }

    #[tokio::test]
    async fn other_files_are_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path).await, Err(ApiError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = bind(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let _second = bind(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
    }
}
