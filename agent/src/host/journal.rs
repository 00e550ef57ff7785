//! The host's journal, as `journalctl` prints it. The program runs only while somebody reads.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{sleep, timeout};

use super::HostError;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// Bytes of what it says when it fails.
const COMPLAINT_BYTES: u64 = 4 * 1024;
/// How long it is waited for to say that it does not like its arguments.
const FIRST_WORDS: Duration = Duration::from_secs(2);

/// What `journalctl` prints. Dropping it ends the program.
pub struct JournalText {
    program: Running,
    out: Option<pipe::Receiver>,
    first: Option<Bytes>,
}

impl std::fmt::Debug for JournalText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalText").finish_non_exhaustive()
    }
}

/// A program that is ended when this is dropped.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // One that has ended already cannot be killed.
        let _ = child.kill();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            // It ends at once, unless its disk hangs: nobody else has to wait for that.
            std::thread::spawn(move || child.wait());
        }
    }
}

impl JournalText {
    /// Starts the program with these arguments. Below another root than `/` it is that host's journal.
    pub(super) async fn open(root: &Path, arguments: &[String]) -> Result<JournalText, HostError> {
        let mut child = start(root, arguments)?;
        let refused = |message: String| HostError::File { path: "journalctl".to_owned(), message };
        let out = child.stdout.take().ok_or_else(|| refused("its output cannot be read".to_owned()))?;
        let program = Running(Some(child));
        let out = pipe::Receiver::from_owned_fd(out.into()).map_err(|cause| refused(cause.to_string()))?;
        let mut text = JournalText { program, out: Some(out), first: None };
        // Arguments it does not understand are the asker's mistake, and are said instead of an empty answer.
        if let Ok(first) = timeout(FIRST_WORDS, text.read()).await {
            if first.is_none()
                && let Some(complaint) = text.complaint().await
            {
                return Err(HostError::Invalid(format!("journalctl: {complaint}")));
            }
            text.first = first;
        }
        Ok(text)
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Option<Bytes> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match self.out.as_mut()?.read_buf(&mut piece).await {
            Ok(read) if read > 0 => Some(piece.into()),
            _ => {
                self.out = None;
                None
            }
        }
    }

    /// What it says when it failed.
    async fn complaint(&mut self) -> Option<String> {
        let child = self.program.0.as_mut()?;
        let mut ended: Option<ExitStatus> = None;
        for _ in 0..100 {
            ended = child.try_wait().ok().flatten();
            if ended.is_some() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        if ended.is_none_or(|status| status.success()) {
            return None;
        }
        let mut said = String::new();
        // It has ended: nothing is waited for.
        let _ = child.stderr.take()?.take(COMPLAINT_BYTES).read_to_string(&mut said);
        let said = said.trim();
        Some(if said.is_empty() { "it failed without a word".to_owned() } else { said.to_owned() })
    }
}

/// Starts it: the one of this system, which can read another's journal, or that of the other system.
fn start(root: &Path, arguments: &[String]) -> Result<Child, HostError> {
    let mut own = Command::new("journalctl");
    own.arg("--no-pager");
    let is_other = root != Path::new("/");
    if is_other {
        own.arg(format!("--root={}", root.display()));
    }
    match spawn(own, arguments) {
        Err(cause) if cause.kind() == ErrorKind::NotFound && is_other => {
            let mut others = Command::new("chroot");
            others.arg(root).args(["journalctl", "--no-pager"]);
            spawn(others, arguments).map_err(|_| absent("here is none, and the host's cannot be run from here"))
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Err(absent("there is none on this system")),
        Err(cause) => Err(absent(&cause.to_string())),
        Ok(child) => Ok(child),
    }
}

fn absent(why: &str) -> HostError {
    HostError::File {
        path: "journalctl".to_owned(),
        message: format!("it cannot be run, so the host's journal cannot be read through the agent: {why}"),
    }
}

fn spawn(mut command: Command, arguments: &[String]) -> std::io::Result<Child> {
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}
