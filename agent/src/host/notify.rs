//! What the service manager is told, in the words of sd_notify(3): one datagram an assignment list, to a socket that the
//! environment names. Outside a service manager all of it is silence.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// More of a status text than this is cut off, bytes: it is one line of `systemctl status`.
const STATUS_LIMIT_BYTES: usize = 400;

/// The service manager above this process, if there is one.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` through `variable`. What makes no sense there is logged and
    /// taken as absent: an agent nobody watches is better than none.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> ServiceManager {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return ServiceManager::default() };
        let socket = match connect(name.as_bytes()) {
            Ok(socket) => Some(socket),
            Err(error) => {
                log::warn!("NOTIFY_SOCKET={}: the service manager cannot be told anything: {error}", name.display());
                None
            }
        };
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        // The variables are inherited: they may be meant for the process that started this one.
        let meant_for_us = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| *limit > 0 && meant_for_us).map(Duration::from_micros);
        ServiceManager { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// How long the service manager waits between two signs of life before it kills; `None` when it does not.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Start-up is over: units that come after this one may start.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A sign of life for the watchdog.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Start-up goes on and takes at most this much longer.
    pub fn starting(&self, longer: Duration, status: &str) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS={}", longer.as_micros(), one_line(status)));
    }

    /// One line for people.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", one_line(text)));
    }

    fn send(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        // A datagram to a manager that does not read is dropped, never waited for: it is told again with the next change.
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            log::warn!("the service manager could not be told {:?}: {error}", message.lines().next().unwrap_or_default());
        }
    }
}

/// A path, or with a leading `@` a name in the abstract name space.
fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A line break would begin another assignment, and texts come from engines and clouds.
fn one_line(text: &str) -> String {
    let end = (0..=STATUS_LIMIT_BYTES.min(text.len())).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> ServiceManager {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        ServiceManager::from_environment(get, 42)
    }

    fn heard(by: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        by.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = by.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn it_tells_a_socket_in_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let told = manager(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        told.ready();
        told.alive();
        told.stopping();
        told.starting(Duration::from_secs(60), "waits for room");
        let words: Vec<String> = (0..4).map(|_| heard(&listener)).collect();
        assert_eq!(words, ["READY=1", "WATCHDOG=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waits for room"]);
    }

    #[test]
    fn it_tells_an_abstract_socket() {
        let name = format!("holdfast-notify-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager(&[("NOTIFY_SOCKET", &format!("@{name}"))]).ready();
        assert_eq!(heard(&listener), "READY=1");
    }

    #[test]
    fn a_status_is_one_line_and_can_assign_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let told = manager(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        told.status(&format!("no engine\nMAINPID=1\r{}", "é".repeat(1000)));
        let heard = heard(&listener);
        assert!(heard.starts_with("STATUS=no engine MAINPID=1 é"), "{heard}");
        assert!(!heard.contains('\n') && heard.len() <= STATUS_LIMIT_BYTES + "STATUS=".len(), "{}", heard.len());
    }

    #[test]
    fn the_watchdog_counts_only_when_it_is_meant_for_this_process() {
        let socket = ("NOTIFY_SOCKET", "/nonexistent/notify");
        let limit = ("WATCHDOG_USEC", "180000000");
        let of = |variables: &[(&str, &str)]| manager(variables).watchdog();
        assert_eq!(of(&[socket, limit]), Some(Duration::from_secs(180)));
        assert_eq!(of(&[socket, limit, ("WATCHDOG_PID", "42")]), Some(Duration::from_secs(180)));
        assert_eq!(of(&[socket, limit, ("WATCHDOG_PID", "43")]), None, "inherited from another process");
        assert_eq!(of(&[socket, limit, ("WATCHDOG_PID", "")]), None);
        assert_eq!(of(&[socket, ("WATCHDOG_USEC", "0")]), None);
        assert_eq!(of(&[socket, ("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(of(&[limit]), None, "there is nobody to feed");
    }

    #[test]
    fn without_a_manager_and_with_one_that_went_away_nothing_happens() {
        for name in ["", "vsock:2:1234", "relative", "/nonexistent/notify", "@nobody-listens-here"] {
            let told = manager(&[("NOTIFY_SOCKET", name)]);
            told.ready();
            told.status("still here");
        }
        manager(&[]).ready();
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let told = manager(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        // More than any receive queue holds; this returns only because sending never blocks.
        (0..5000).for_each(|_| told.alive());
    }
}
