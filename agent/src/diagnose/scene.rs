//! What the checks look at, and what several of them ask for and only one has to wait for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::engine::{Address, DEFAULT_ADDRESSES};
use crate::host::SystemHost;
use crate::http;
use crate::settings::{SettingFault, Settings};
use crate::store::Place;

/// How long the engine may take to answer one question.
const ENGINE_LIMIT: Duration = Duration::from_secs(8);
/// More of one of its answers is not read, bytes.
const ENGINE_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// How many containers are looked at one by one.
const MOST_CONTAINERS: usize = 200;

/// Where the device's parts are, and what was learnt of them so far.
pub struct Scene {
    /// The agent's settings.
    pub settings: Settings,
    /// What is wrong with them.
    pub(super) faults: Vec<SettingFault>,
    pub(super) clock: Arc<dyn Clock>,
    /// Below it lie `/proc`, `/sys` and `/dev`: always the machine's own but in tests.
    pub(super) machine: PathBuf,
    pub(super) host: SystemHost,
    pub(super) cloud: OnceCell<super::checks::CloudAnswer>,
    engine: OnceCell<Result<PathBuf, String>>,
    containers: OnceCell<Result<Vec<Value>, String>>,
}

impl Scene {
    /// The device by these settings.
    pub fn new(settings: Settings, faults: Vec<SettingFault>, clock: Arc<dyn Clock>) -> Scene {
        let (root, locks) = (settings.host_root.clone(), settings.lock_dir.clone());
        let host = SystemHost::new(root, locks, settings.cloud.device_type.clone());
        Scene {
            settings,
            faults,
            clock,
            machine: "/".into(),
            host,
            cloud: OnceCell::new(),
            engine: OnceCell::new(),
            containers: OnceCell::new(),
        }
    }

    /// Where the database lies.
    pub fn place(&self) -> Place {
        Place::of(&self.settings)
    }

    /// A path of the host as this process sees it.
    pub fn on_host(&self, path: &str) -> PathBuf {
        self.settings.host_root.join(path.trim_start_matches('/'))
    }

    /// Whether the host's own programs can be run: not from a container that only has its files.
    pub(super) fn is_host(&self) -> bool {
        self.settings.host_root == std::path::Path::new("/")
    }

    /// The engine's socket: the one that was named, else the first usual one that answers.
    ///
    /// # Errors
    /// In words, when there is none.
    pub async fn engine(&self) -> Result<PathBuf, String> {
        let find = || async {
            let given = self.settings.engine.as_deref();
            if given == Some("sim:") {
                return Err("it is simulated, inside the agent".to_owned());
            }
            if let Some(address) = given {
                return address.parse::<Address>().map(|address| address.socket).map_err(|error| error.to_string());
            }
            for address in DEFAULT_ADDRESSES {
                let socket = address.trim_start_matches("unix://");
                if tokio::net::UnixStream::connect(socket).await.is_ok() {
                    return Ok(socket.into());
                }
            }
            Err(format!("nobody listens at {}", DEFAULT_ADDRESSES.join(", ")))
        };
        self.engine.get_or_init(find).await.clone()
    }

    /// What the engine answers at a path of its API.
    ///
    /// # Errors
    /// In words, when it does not answer or not with JSON.
    pub async fn ask_engine(&self, method: Method, path: &str) -> Result<Value, String> {
        let socket = self.engine().await?;
        let (status, body) = http::ask(&socket, method, path, ENGINE_LIMIT, ENGINE_ANSWER_BYTES).await?;
        let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(answer);
        }
        Err(format!("the engine answered {}: {}", status.as_u16(), answer["message"].as_str().unwrap_or_default()))
    }

    /// The description of every container, as the engine gives it.
    ///
    /// # Errors
    /// In words, when the engine does not answer.
    pub async fn containers(&self) -> Result<Vec<Value>, String> {
        let look = || async {
            let list = self.ask_engine(Method::GET, "/containers/json?all=1").await?;
            let ids = list.as_array().into_iter().flatten().filter_map(|one| one["Id"].as_str());
            let mut containers = Vec::new();
            for id in ids.take(MOST_CONTAINERS) {
                // One that went away meanwhile is none.
                if let Ok(container) = self.ask_engine(Method::GET, &format!("/containers/{id}/json")).await {
                    containers.push(container);
                }
            }
            Ok(containers)
        };
        self.containers.get_or_init(look).await.clone()
    }

    /// Whether an agent holds the data directory, by the kernel's list of locks; nothing is taken or touched for it.
    pub fn is_held(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(lock) = std::fs::metadata(self.settings.data_dir.join("agent.lock")) else { return false };
        let list = std::fs::read_to_string(self.machine.join("proc/locks")).unwrap_or_default();
        is_listed(&list, lock.dev(), lock.ino())
    }
}

/// Whether a file stands in the kernel's list of locks.
fn is_listed(list: &str, device: u64, inode: u64) -> bool {
    let place = match (rustix::fs::major(device), rustix::fs::minor(device)) {
        // Devices that no hardware stands behind are told differently there by some file systems (btrfs).
        (0, _) => format!(":{inode} "),
        (major, minor) => format!(" {major:02x}:{minor:02x}:{inode} "),
    };
    list.lines().any(|line| line.contains(" FLOCK ") && line.contains(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_its_device_and_inode() {
        let list = "1: POSIX  ADVISORY  WRITE 3568 b3:06:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 812 b3:05:131 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 813 00:1f:77 0 EOF\n";
        let device = rustix::fs::makedev;
        assert!(is_listed(list, device(0xb3, 5), 131));
        assert!(!is_listed(list, device(0xb3, 6), 131), "another partition, and another kind of lock");
        assert!(!is_listed(list, device(8, 5), 131) && !is_listed(list, device(0xb3, 5), 13));
        assert!(is_listed(list, device(0, 0x20), 77) && !is_listed(list, device(0, 0x1f), 7));
    }
}
