//! What can go wrong with update locks.

use std::path::Path;

use holdfast_plan::target::AppId;
use rustix::io::Errno;

/// An update lock could not be read, taken or released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The application holds it.
    #[error("Lockfile exists for {{ appId: {app_id}, service: {service} }}")]
    Held {
        /// App.
        app_id: AppId,
        /// Service.
        service: String,
    },
    /// A file or folder could not be used.
    #[error("{path}: {message}")]
    File {
        /// Which.
        path: String,
        /// What was tried and what happened.
        message: String,
    },
}

impl LockError {
    /// An error of the system, with what was tried.
    pub(super) fn system(path: &Path, tried: &str, errno: Errno) -> Self {
        let message = format!("could not {tried}: {}", std::io::Error::from(errno));
        Self::File { path: path.display().to_string(), message }
    }
}
