//! The real agent as a child process, and what it says of itself.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::folder::Folder;
use crate::sandbox::socket;

/// What the agent is started with.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The binary.
    pub program: &'a Path,
    /// Address of the engine.
    pub engine: &'a str,
    /// Value of the label scope.
    pub scope: &'a str,
    /// Where its files are.
    pub folder: &'a Folder,
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

/// How long one question to the agent's API may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long the agent has for its orderly end; it promises 10 s.
const END_LIMIT: Duration = Duration::from_secs(13);

/// Variables of the surroundings that would lead the agent astray.
const FOREIGN: [&str; 10] = [
    "DOCKER_HOST",
    "DATABASE_PATH",
    "HOLDFAST_LISTEN",
    "HOLDFAST_HOST_ROOT",
    "HOLDFAST_VOLUME_GRACE",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];

impl Agent {
    /// Starts it.
    ///
    /// # Errors
    /// When the binary cannot be started or the log not written.
    pub fn start(start: &Start<'_>) -> Result<Agent> {
        let folder = start.folder;
        let log = File::create(folder.log()).with_context(|| format!("cannot write {}", folder.log().display()))?;
        let mut command = Command::new(start.program);
        command.args(["run", "--engine", start.engine]);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("HOLDFAST_CONFIG", folder.config())
            .env("HOLDFAST_DATA_DIR", folder.data())
            .env("HOLDFAST_SOCKET", folder.socket())
            .env("HOLDFAST_LOCK_DIR", folder.locks())
            .env("HOLDFAST_SCOPE", start.scope)
            .env("HOLDFAST_POLL_INTERVAL", "1s")
            .env("HOLDFAST_POLL_JITTER", "0")
            .env("HOLDFAST_REPORT_INTERVAL", "500ms");
        // A group of its own: Ctrl-C is for the demo, which then ends the agent in good order.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", start.program.display()))?;
        Ok(Agent { child, socket: folder.socket(), log: folder.log() })
    }

    /// # Errors
    /// When it ended, with the end of its log.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the agent ended by itself ({status}); the end of its log:\n{}", self.log_tail()),
        }
    }

    /// Whether its API answers.
    pub async fn answers(&self) -> bool {
        socket::request(&self.socket, Method::GET, "/ping", ANSWER_LIMIT).await.is_ok_and(|answer| answer.status == 200)
    }

    /// What `/v3/status` says.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub async fn status(&self) -> Result<Value> {
        let answer = socket::request(&self.socket, Method::GET, "/v3/status", ANSWER_LIMIT).await?;
        if answer.status != 200 {
            bail!("/v3/status answered {}: {}", answer.status, answer.message());
        }
        Ok(answer.json())
    }

    /// The end of its log, for error messages.
    pub fn log_tail(&self) -> String {
        const TAIL_BYTES: u64 = 3000;
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
            file.take(TAIL_BYTES).read_to_end(&mut bytes)
        });
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        match read {
            Ok(_) => lines.into_iter().rev().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"),
            Err(e) => format!("  (its log cannot be read: {e})"),
        }
    }

    /// Ends it in good order, or by force when it takes too long. `None` when it had to be killed.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(&mut self) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot signal the agent")?;
        let told = Instant::now();
        while told.elapsed() < END_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Nothing more can be done about an agent that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
