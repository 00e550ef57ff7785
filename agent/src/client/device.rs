//! Whose agent is asked: this machine's, or that of a device that ssh reaches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::line::{Line, Outgoing};
use super::ssh::Ssh;
use super::{ClientError, Host};

/// How long the agent may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long it may take to answer; more than its own limit, so that its explanation arrives.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// The same through ssh, which may have to ask a person for a password first.
const ANSWER_TIME_OVER_SSH: Duration = Duration::from_secs(180);

/// A device whose agent is asked. Through ssh the connection is kept from one request to the next, so that a command takes one
/// ssh; on this machine each request has its own.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    address: Address,
    kept: Mutex<Option<Line>>,
    /// Whether its agent has answered anything.
    heard: AtomicBool,
}

enum Address {
    /// A socket on this machine.
    Socket(PathBuf),
    /// A device, with the socket's path there when it is not the usual one.
    Ssh(Host, Option<PathBuf>),
}

impl Device {
    /// One that ssh reaches; `socket` is a path on it.
    pub fn over_ssh(host: Host, socket: Option<PathBuf>) -> Device {
        Device::at(Address::Ssh(host, socket))
    }

    fn at(address: Address) -> Device {
        Device(Arc::new(Inner { address, kept: Mutex::new(None), heard: AtomicBool::new(false) }))
    }

    /// Where it is, as a person named it.
    pub fn name(&self) -> String {
        match &self.0.address {
            Address::Socket(path) => path.display().to_string(),
            Address::Ssh(host, _) => host.to_string(),
        }
    }

    /// Whether it is another machine than this one.
    pub fn is_remote(&self) -> bool {
        matches!(self.0.address, Address::Ssh(..))
    }

    pub(super) fn answer_time(&self) -> Duration {
        if self.is_remote() { ANSWER_TIME_OVER_SSH } else { ANSWER_TIME }
    }

    /// Sends a request; the line is to be kept, or dropped, when its answer has been read.
    pub(super) async fn ask(&self, request: Request<Outgoing>) -> Result<(Response<Incoming>, Line), ClientError> {
        let mut line = self.line().await?;
        let response = line.ask(&self.name(), request).await?;
        self.0.heard.store(true, Ordering::Relaxed);
        Ok((response, line))
    }

    /// The error that there was no answer in time. Through ssh it is not said that anybody took the request before somebody
    /// was heard.
    pub(super) fn silent(&self, limit: Duration) -> ClientError {
        let seconds = limit.as_secs();
        if !self.is_remote() || self.0.heard.load(Ordering::Relaxed) {
            return ClientError::Silent { seconds };
        }
        let text = format!("no answer within {seconds} s; does ssh wait for a password?");
        self.not_reachable(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    /// The error that nobody could be asked there.
    pub fn not_reachable(&self, cause: io::Error) -> ClientError {
        let name = self.name();
        if self.is_remote() {
            ClientError::RemoteNotReachable { host: name, cause }
        } else {
            ClientError::NotReachable { socket: name, cause }
        }
    }

    async fn line(&self) -> Result<Line, ClientError> {
        let kept = self.0.kept.lock().ok().and_then(|mut kept| kept.take());
        if let Some(mut line) = kept
            && line.is_open().await
        {
            return Ok(line);
        }
        let not_reachable = |cause| self.not_reachable(cause);
        match &self.0.address {
            Address::Socket(path) => match timeout(CONNECT_TIME, UnixStream::connect(path)).await {
                Ok(stream) => Line::over(stream.map_err(not_reachable)?, None).await,
                Err(_) => Err(not_reachable(io::ErrorKind::TimedOut.into())),
            },
            Address::Ssh(host, socket) => {
                let (stream, ssh) = Ssh::start(host, socket.as_deref()).map_err(not_reachable)?;
                Line::over(UnixStream::from_std(stream).map_err(not_reachable)?, Some(ssh)).await
            }
        }
    }

    /// Keeps a line whose answer has been read to its end.
    pub(super) fn keep(&self, line: Line) {
        if self.is_remote()
            && let Ok(mut kept) = self.0.kept.lock()
        {
            *kept = Some(line);
        }
    }
}

impl From<&Device> for Device {
    fn from(device: &Device) -> Device {
        device.clone()
    }
}

impl From<&Path> for Device {
    fn from(socket: &Path) -> Device {
        Device::at(Address::Socket(socket.to_owned()))
    }
}

impl From<&PathBuf> for Device {
    fn from(socket: &PathBuf) -> Device {
        socket.as_path().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_a_person_gave() {
        let far = Device::over_ssh(Host::parse("ssh://root@shed-7").unwrap(), None);
        assert_eq!((far.name().as_str(), far.is_remote()), ("ssh://root@shed-7", true));
        let near = Device::from(Path::new("/run/x"));
        assert_eq!((near.name().as_str(), near.is_remote()), ("/run/x", false));
    }

    #[test]
    fn nobody_has_taken_a_request_before_somebody_was_heard() {
        let limit = Duration::from_secs(180);
        let far = Device::over_ssh(Host::parse("ssh://root@shed-7").unwrap(), None);
        let unheard = far.silent(limit);
        assert!(unheard.is_not_reachable() && unheard.to_string().contains("does ssh wait for a password?"), "{unheard}");
        far.0.heard.store(true, Ordering::Relaxed);
        assert!(matches!(far.silent(limit), ClientError::Silent { seconds: 180 }));
        assert!(matches!(Device::from(Path::new("/run/x")).silent(limit), ClientError::Silent { .. }));
    }
}
