//! The system's ssh, with `holdfast dial-stdio` at its other end: a technician's machine needs SSH to the device, nothing
//! else. Forwarding of sockets is not used, since small SSH servers do not have it.

use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::Host;

/// Names another program than `ssh`.
const PROGRAM_VARIABLE: &str = "HOLDFAST_SSH";
/// How long ssh may take to end once its connection did.
const END_TIME: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const END_STEP: Duration = Duration::from_millis(20);
/// What the other end runs, whatever shell the user has there: holdfast from its `PATH`, else from where images have it.
const REMOTE: &str = r#"sh -c 'PATH="$PATH:/usr/bin:/usr/local/bin"; exec holdfast dial-stdio "$@"' holdfast"#;

/// Exit codes that say who it was.
const SSH_FAILED: i32 = 255;
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
const WRONG_USAGE: i32 = 2;
const NO_AGENT: i32 = 3;

/// An ssh that runs. Its complaints and questions go to the terminal as they are.
#[derive(Debug)]
pub(super) struct Ssh {
    child: Child,
    program: OsString,
}

impl Ssh {
    /// Starts it and returns what goes to the agent's socket at `host` and back. `socket` is a path there.
    pub(super) fn start(host: &Host, socket: Option<&Path>) -> Result<(UnixStream, Ssh)> {
        let program = std::env::var_os(PROGRAM_VARIABLE).filter(|name| !name.is_empty()).unwrap_or_else(|| "ssh".into());
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&program);
        command.args(arguments(host, socket));
        command.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs)).stderr(Stdio::inherit());
        let child = command.spawn().map_err(|cause| {
            let text = format!(
                "{} could not be started: {cause}. Install an SSH client, or name one in {PROGRAM_VARIABLE}",
                program.display()
            );
            Error::other(text)
        })?;
        Ok((ours, Ssh { child, program }))
    }

    /// Why there was no answer, once the connection has ended.
    pub(super) async fn why(&mut self) -> Error {
        let ended = self.ended().await;
        let program = self.program.display();
        let above = "what was said about it stands above";
        match ended.map(|status| status.code()) {
            None => Error::other(format!("{program} closed the connection without an answer")),
            Some(Some(SSH_FAILED)) => Error::other(format!("{program} could not reach the device or log in; {above}")),
            Some(Some(NO_AGENT)) => Error::other(format!("the device was reached, its agent was not; {above}")),
            Some(Some(NOT_FOUND | NOT_EXECUTABLE)) => Error::other(format!(
                "the device was reached, but there is no holdfast to run on it, neither in PATH nor in /usr/bin; {above}"
            )),
            Some(Some(WRONG_USAGE)) => {
                Error::other(format!("the device was reached, but its holdfast is too old to be asked from here; {above}"))
            }
            Some(Some(0)) => Error::other("the device was reached; its agent closed the connection without an answer"),
            Some(Some(code)) => Error::other(format!("{program} ended with exit code {code} before an answer; {above}")),
            Some(None) => Error::other(format!("{program} was killed before an answer")),
        }
    }

    async fn ended(&mut self) -> Option<ExitStatus> {
        let wait = async {
            loop {
                match self.child.try_wait() {
                    Ok(None) => tokio::time::sleep(END_STEP).await,
                    Ok(status) => return status,
                    Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(END_TIME, wait).await.ok().flatten()
    }

    /// Ends one that does not get anywhere, for example at a device that is switched off.
    pub(super) fn kill(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `-T`: no terminal, which would change bytes. A device that does not answer is given up after 15 s, one that falls silent
/// after a minute. Nothing behind `--` is an option.
fn arguments(host: &Host, socket: Option<&Path>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=20"].map(OsString::from).into();
    if let Some(port) = host.port() {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    arguments.extend(["--".into(), host.destination().into()]);
    let mut remote = OsString::from(REMOTE);
    if let Some(socket) = socket {
        remote.push(" ");
        remote.push(quoted(socket));
    }
    arguments.push(remote);
    arguments
}

/// `--socket=PATH` as one word, for any shell.
fn quoted(socket: &Path) -> OsString {
    let mut word = b"'--socket=".to_vec();
    for byte in socket.as_os_str().as_bytes() {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    OsString::from_vec(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_behind_the_dashes_is_an_option() {
        let host = Host::parse("ssh://root@shed-7:2222").unwrap();
        let arguments: Vec<String> = arguments(&host, None).into_iter().map(|word| word.into_string().unwrap()).collect();
        let end = arguments.iter().position(|word| word == "--").unwrap();
        assert_eq!(arguments[end - 2..end], ["-p", "2222"]);
        assert_eq!(arguments[end + 1..], ["root@shed-7", REMOTE]);
    }

    #[test]
    fn a_shell_gets_the_socket_as_one_word() {
        let path = Path::new("/run/it's $(reboot)/x");
        let script = format!("printf %s {}", quoted(path).into_string().unwrap());
        let said = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "--socket=/run/it's $(reboot)/x");
    }
}
