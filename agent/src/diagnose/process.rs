//! Another program, run within limits of time and output; whatever it started ends with it.

use std::io::{self, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Debug)]
pub(super) struct Ran {
    /// How it ended; `None` when it was ended for its time or its output.
    pub status: Option<ExitStatus>,
    /// What it wrote, up to the limit.
    pub output: Vec<u8>,
    /// Whether it wrote more.
    pub too_much: bool,
}

/// Runs a program and waits for it. Only its standard output is read. Blocks.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run(command: &mut Command, limit: Duration, most_bytes: usize) -> io::Result<Ran> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn()?;
    let mut group = Group(child);
    let mut ran = Ran { status: None, output: Vec::new(), too_much: false };
    let Some(mut pipe) = group.0.stdout.take() else { return Ok(ran) };
    rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
    let end = Instant::now() + limit;
    let mut piece = [0; 4096];
    while Instant::now() < end {
        // Looked at first, so that what it wrote before it ended is read afterwards.
        let ended = group.0.try_wait()?;
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => break,
                Ok(_) if ran.output.len() >= most_bytes => {
                    ran.too_much = true;
                    return Ok(ran);
                }
                Ok(length) => {
                    let room = most_bytes - ran.output.len();
                    ran.too_much |= length > room;
                    ran.output.extend_from_slice(&piece[..length.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if ended.is_some() || ran.too_much {
            ran.status = ended.filter(|_| !ran.too_much);
            return Ok(ran);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(ran)
}

/// A program with all it started. Dropped, all of it is killed and waited for.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // Nobody is left in it: as it should be.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration, most_bytes: usize) -> Ran {
        run(Command::new("/bin/sh").args(["-c", script]), limit, most_bytes).unwrap()
    }

    #[test]
    fn output_and_code_come_back() {
        let ran = shell("echo one; exit 3", Duration::from_secs(60), 100);
        assert_eq!((ran.status.and_then(|s| s.code()), ran.output, ran.too_much), (Some(3), b"one\n".to_vec(), false));
    }

    #[test]
    fn whoever_takes_too_long_or_writes_too_much_is_ended_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 2; echo alive >{}) & sleep 1000", mark.display());
        let ran = shell(&script, Duration::from_millis(200), 100);
        assert!(ran.status.is_none());
        let endless = shell("yes", Duration::from_secs(60), 10_000);
        assert!(endless.too_much && endless.status.is_none() && endless.output.len() == 10_000);
        std::thread::sleep(Duration::from_secs(3));
        assert!(!mark.exists(), "what it started went on");
    }

    #[test]
    fn one_that_leaves_somebody_with_its_output_is_not_waited_for() {
        let begin = Instant::now();
        let ran = shell("sleep 1000 & echo done", Duration::from_secs(500), 100);
        assert_eq!(ran.output, b"done\n");
        assert!(begin.elapsed() < Duration::from_secs(300));
    }
}
