//! Whether a file is an agent that this machine can run: it is asked for its version.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::SlotError;

/// How long it has to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// More of an answer is not read, bytes.
const ANSWER_BYTES: usize = 1024;

/// Runs `FILE version` and returns the version it tells.
pub(super) fn version(file: &Path) -> Result<String, SlotError> {
    let refused =
        |what: String| SlotError::file(file, format_args!("{what}; it is no agent for this machine and was not installed"));
    let end = Instant::now() + LIMIT;
    let mut child = start(file, end).map_err(|error| refused(format!("it cannot be started ({error})")))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(refused(format!("asked for its version it ended with {status}"))),
            Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
            outcome => {
                let _ = child.kill();
                let _ = child.wait();
                let why = outcome.err().map_or_else(|| format!("within {} s", LIMIT.as_secs()), |error| error.to_string());
                return Err(refused(format!("it did not tell its version: {why}")));
            }
        }
    }
    let said = child.stdout.take().and_then(|out| answer(out).ok()).unwrap_or_default();
    told(&String::from_utf8_lossy(&said)).ok_or_else(|| refused("what it says of itself is not what an agent says".to_owned()))
}

/// What it has said. Something that it left behind may keep the pipe open for ever: nothing more is waited for.
fn answer(mut out: ChildStdout) -> std::io::Result<Vec<u8>> {
    rustix::fs::fcntl_setfl(&out, rustix::fs::OFlags::NONBLOCK)?;
    let mut said = vec![0; ANSWER_BYTES];
    let length = out.read(&mut said)?;
    said.truncate(length);
    Ok(said)
}

/// Starts it, as often as it takes: another thread that starts a program at this moment may still have the file open.
fn start(file: &Path, end: Instant) -> std::io::Result<Child> {
    loop {
        let mut command = Command::new(file);
        let started =
            command.arg("version").env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        match started {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && Instant::now() < end => {
                std::thread::sleep(LOOK);
            }
            other => return other,
        }
    }
}

/// The version in `holdfast 1.2.3 (…)`.
fn told(said: &str) -> Option<String> {
    let version = said.strip_prefix("holdfast ")?.split_whitespace().next()?;
    let plain = version.len() <= 64 && version.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("holdfast");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn an_agent_tells_its_version_and_nothing_else_passes() {
        let (_folder, file) = script("#!/bin/sh\n[ \"$1\" = version ] && echo 'holdfast 1.2.3 (compatible)'\n", 0o700);
        assert_eq!(version(&file), Ok("1.2.3".to_owned()));
        // What it leaves behind is not waited for.
        let begin = Instant::now();
        let (_folder, file) = script("#!/bin/sh\nsleep 60 &\necho 'holdfast 1.2.3'\n", 0o700);
        assert_eq!(version(&file), Ok("1.2.3".to_owned()));
        assert!(begin.elapsed() < Duration::from_secs(50));
        for (text, mode, why) in [
            ("#!/bin/sh\necho 'holdfast 1.2.3'\n", 0o600, "cannot be started"),
            ("\x7fELF for another machine", 0o700, "no agent for this machine"),
            ("#!/bin/sh\nexit 3\n", 0o700, "ended with exit status: 3"),
            ("#!/bin/sh\necho 'something 1.2.3'\n", 0o700, "not what an agent says"),
            ("#!/bin/sh\necho 'holdfast '\n", 0o700, "not what an agent says"),
        ] {
            let (_folder, file) = script(text, mode);
            let error = version(&file).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("was not installed"), "{error}");
        }
    }
}
