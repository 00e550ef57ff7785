//! The demo's temporary folder: everything its agent reads and writes.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Longest path a unix socket may have, with some room.
const SOCKET_PATH_BYTES: usize = 100;

/// The folder; gone when dropped.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder with its parts.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(name: &str) -> io::Result<Folder> {
        let mut root = std::env::temp_dir().join(name);
        if root.as_os_str().len() + "/holdfast.sock".len() > SOCKET_PATH_BYTES {
            root = Path::new("/tmp").join(name);
        }
        std::fs::create_dir(&root)?;
        let folder = Folder { root };
        std::fs::create_dir(folder.data())?;
        std::fs::create_dir(folder.locks())?;
        Ok(folder)
    }

    /// Writes config.json.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, config: &Value) -> io::Result<()> {
        std::fs::write(self.config(), format!("{config:#}\n"))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// config.json.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.json")
    }

    /// The agent's data directory.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The lock root.
    pub fn locks(&self) -> PathBuf {
        self.root.join("services")
    }

    /// The local API's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("holdfast.sock")
    }

    /// What the agent logs.
    pub fn log(&self) -> PathBuf {
        self.root.join("agent.log")
    }

    /// Removes it.
    ///
    /// # Errors
    /// When something in it belongs to somebody else.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Reported where it is removed on purpose; this is for early ends.
        let _ = self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_and_goes() {
        let folder = Folder::create(&format!("holdfast-folder-test-{}", std::process::id())).unwrap();
        folder.write_config(&serde_json::json!({ "uuid": "x" })).unwrap();
        let root = folder.root().to_owned();
        assert!(folder.config().is_file() && folder.locks().is_dir());
        assert!(folder.socket().as_os_str().len() < SOCKET_PATH_BYTES + 8);
        drop(folder);
        assert!(!root.exists());
    }
}
